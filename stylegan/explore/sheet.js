// Tiles of samples: a list of which one or several are chosen, by mouse and by keyboard. Enter and a
// click open one; Space and ctrl-click choose it as well; shift-click and Shift with an arrow choose
// a range. Where nothing is to be chosen they are buttons, and Space opens one too.
const TURNS = ["ArrowLeft", "ArrowRight", "ArrowUp", "ArrowDown", "Home", "End"];
export default {
  template: `
    <div
      class="sheet"
      :role="plain ? 'group' : 'listbox'"
      :aria-multiselectable="plain ? null : 'true'"
      :class="{ choosing }"
      :style="columns ? { '--columns': columns } : null"
      :aria-label="label"
      @keydown="pressed"
    >
      <div
        v-for="(tile, i) in tiles"
        class="tile"
        :role="plain ? 'button' : 'option'"
        :class="{ waiting: tile.stale }"
        :key="tile.key"
        :aria-selected="plain ? null : String(chosen.includes(tile.key))"
        :tabindex="i === at ? 0 : -1"
        @click="clicked(i, $event)"
        @focus="at = i"
      >
        <img v-if="tile.src" :src="tile.src" :alt="tile.alt" :width="size" :height="size" />
        <span v-else class="blank" role="img" aria-label="Not drawn yet"></span>
        <span v-if="tile.text" class="number">{{ tile.text }}</span>
      </div>
    </div>
  `,
  props: {
    label: String,
    size: Number, // of an image, in pixels
    tiles: Array, // of {key, text, src, alt, stale}: without src what is not drawn yet
    columns: Number, // of a matrix, whose first tile stands in the second column
    plain: Boolean, // nothing can be chosen
    choosing: Boolean, // a click chooses
  },
  emits: ["open", "chosen"],
  data() {
    return { at: 0, from: 0, chosen: [] };
  },
  watch: {
    tiles(now, before) {
      if (now[0]?.key === before[0]?.key && now.length === before.length) return;
      this.at = Math.min(this.at, now.length - 1);
      this.from = this.at;
      this.choose([]);
    },
  },
  methods: {
    choose(keys) {
      if (this.plain || (!keys.length && !this.chosen.length)) return;
      this.chosen = this.tiles.map((tile) => tile.key).filter((key) => keys.includes(key));
      this.$emit("chosen", this.chosen);
    },
    toggle(i) {
      const { key } = this.tiles[i];
      const others = this.chosen.filter((each) => each !== key);
      this.from = i;
      this.choose(others.length < this.chosen.length ? others : [...others, key]);
    },
    range(to) {
      const [first, last] = [Math.min(this.from, to), Math.max(this.from, to)];
      this.choose(this.tiles.slice(first, last + 1).map((tile) => tile.key));
    },
    focus(i) {
      this.at = i;
      this.$el.children[i].focus();
    },
    down() {
      if (this.columns) return this.columns;
      const tops = [...this.$el.children].map((tile) => tile.offsetTop);
      return tops.filter((top) => top === tops[0]).length;
    },
    clicked(i, event) {
      this.focus(i);
      if (this.plain) this.open(i);
      else if (event.shiftKey) this.range(i);
      else if (event.ctrlKey || event.metaKey || this.choosing) this.toggle(i);
      else this.open(i);
    },
    open(i) {
      this.from = i;
      this.$emit("open", this.tiles[i].key);
    },
    turned(key) {
      const last = this.tiles.length - 1;
      const down = this.down();
      const steps = [this.at - 1, this.at + 1, this.at - down, this.at + down, 0, last];
      const to = steps[TURNS.indexOf(key)];
      return to < 0 || to > last ? this.at : to;
    },
    pressed(event) {
      const { key, shiftKey } = event;
      const whole = (event.ctrlKey || event.metaKey) && key.toLowerCase() === "a" && !this.plain;
      if (event.altKey || ((event.ctrlKey || event.metaKey) && !whole)) return;
      if (whole) this.choose(this.tiles.map((tile) => tile.key));
      else if (key === "Enter" || (key === " " && this.plain)) this.open(this.at);
      else if (key === " ") this.toggle(this.at);
      else if (key === "Escape" && this.chosen.length) this.choose([]);
      else if (TURNS.includes(key)) {
        this.focus(this.turned(key));
        if (shiftKey) this.range(this.at);
        else this.from = this.at;
      } else return;
      event.preventDefault();
    },
  },
};
