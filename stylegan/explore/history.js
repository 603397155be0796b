// What outlives the page: its recipe in the address, where Back, Forward and a link find it, and the
// kept recipes in the browser's storage. Shows the buttons that undo and redo.
const REST = 400; // ms: what changes sooner than that is one step of the history
export default {
  template: `
    <div class="history">
      <q-btn v-bind="look" icon="undo" label="Undo" :disable="place < 1" @click="go(-1)" />
      <q-btn v-bind="look" icon="redo" label="Redo" :disable="place >= last" @click="go(1)" />
    </div>
  `,
  props: {
    first: String, // recipe of an address that names none
    network: String, // kept recipes are of one network
  },
  emits: ["recipe", "kept"],
  data() {
    const look = { flat: true, noCaps: true, noWrap: true, color: "primary" };
    return { look, place: 0, last: 0, changed: 0 };
  },
  mounted() {
    this.place = history.state?.place ?? 0;
    this.last = Math.max(Number(sessionStorage.getItem("last") ?? 0), this.place);
    window.addEventListener("popstate", this.moved);
    let kept = [];
    try {
      kept = JSON.parse(localStorage.getItem(this.network) ?? "[]");
    } catch {
      // Somebody else's, or no storage.
    }
    if (Array.isArray(kept) && kept.length) this.$emit("kept", kept);
  },
  unmounted() {
    window.removeEventListener("popstate", this.moved);
  },
  methods: {
    shown() {
      return new URL(location).searchParams.get("recipe") ?? this.first;
    },
    go(step) {
      if (this.timer) this.write("replaceState");
      history.go(step);
    },
    moved(event) {
      clearTimeout(this.timer);
      this.wanted = this.timer = null;
      this.place = event.state?.place ?? 0;
      this.$emit("recipe", this.shown());
    },
    record(recipe) {
      if (recipe === (this.wanted ?? this.shown())) return;
      const rested = Date.now() - this.changed > REST;
      this.changed = Date.now();
      this.wanted = recipe;
      if (rested) {
        this.place += 1;
        this.last = this.place;
        sessionStorage.setItem("last", this.last);
        this.write("pushState");
      } else if (!this.timer) {
        // Browsers let a page do this some 200 times in 30 seconds.
        this.timer = setTimeout(() => this.write("replaceState"), REST / 2);
      }
    },
    write(how) {
      clearTimeout(this.timer);
      this.timer = null;
      const query = new URLSearchParams({ recipe: this.wanted });
      history[how]({ place: this.place }, "", "?" + query);
      this.wanted = null;
    },
    keep(recipes) {
      try {
        localStorage.setItem(this.network, JSON.stringify(recipes));
      } catch {
        // Full, or forbidden: the strip lasts as long as the page.
      }
    },
  },
};
