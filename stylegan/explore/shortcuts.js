// Keys that act anywhere on the page but in fields, the sheet of help that lists them, and a switch
// that turns them off.
const OFF = "stylegan-explore without shortcuts"; // in the browser's storage
const TAKES_ALL = "textarea, select, [contenteditable=true], [role=combobox], [role=menu]";
const TAKES_ARROWS = "input, [role=tablist], [role=listbox], [role=radiogroup]";
export default {
  template: `
    <div class="shortcuts">
      <q-btn
        flat round dense color="primary" icon="keyboard"
        aria-label="Keyboard shortcuts" title="Keyboard shortcuts" @click="open"
      />
      <dialog ref="help" aria-labelledby="shortcuts-title">
        <h2 id="shortcuts-title">Keyboard shortcuts</h2>
        <table v-for="group in groups" :key="group.title">
          <caption>{{ group.title }}</caption>
          <tbody>
            <tr v-for="row in group.rows" :key="row.key">
              <th scope="row"><kbd>{{ word(row.key) }}</kbd></th>
              <td>{{ row.text }}</td>
            </tr>
          </tbody>
        </table>
        <label>
          <input type="checkbox" v-model="on" @change="store" />
          Shortcuts are on, except in fields
        </label>
        <button type="button" class="plain" @click="$refs.help.close()">Close</button>
      </dialog>
    </div>
  `,
  props: {
    groups: Array, // of {title, rows: [{key, text, own}]}; own: a part of the page listens itself
  },
  emits: ["key"],
  data() {
    return { on: true };
  },
  mounted() {
    try {
      this.on = !localStorage.getItem(OFF);
    } catch {
      // No storage: on.
    }
    document.addEventListener("keydown", this.pressed);
  },
  unmounted() {
    document.removeEventListener("keydown", this.pressed);
  },
  methods: {
    open() {
      if (!this.$refs.help.open) this.$refs.help.showModal();
    },
    store() {
      try {
        if (this.on) localStorage.removeItem(OFF);
        else localStorage.setItem(OFF, "1");
      } catch {
        // Forbidden: it lasts as long as the page.
      }
    },
    word(key) {
      const words = { ArrowLeft: "←", ArrowRight: "→", Escape: "Esc" };
      if (/^[A-Z]$/.test(key)) return "Shift + " + key.toLowerCase();
      return words[key] ?? key;
    },
    taken({ target, key }) {
      // Some browsers leave the focus inside of a sheet that was closed.
      if (!(target instanceof Element) || this.$refs.help.contains(target)) return false;
      const input = target.closest("input");
      if (input && !["range", "radio", "checkbox"].includes(input.type)) return true;
      return !!target.closest(key.startsWith("Arrow") ? TAKES_ALL + ", " + TAKES_ARROWS : TAKES_ALL);
    },
    pressed(event) {
      const { key } = event;
      if (!this.on || event.ctrlKey || event.altKey || event.metaKey) return;
      if (event.defaultPrevented || this.taken(event) || this.$refs.help.open) return;
      const row = this.groups.flatMap((group) => group.rows).find((row) => row.key === key);
      if (!row || row.own || (event.repeat && !key.startsWith("Arrow"))) return;
      event.preventDefault();
      if (key === "?") this.open();
      else this.$emit("key", key);
    },
  },
};
