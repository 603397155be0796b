// Tiles of samples: a list of which one or several are chosen, by mouse and by keyboard. Enter and a
// click open one; Space and ctrl-click choose it as well; shift-click and Shift with an arrow choose
// a range.
const TURNS = ["ArrowLeft", "ArrowRight", "ArrowUp", "ArrowDown", "Home", "End"];
export default {
  template: `
    <div
      class="sheet"
      role="listbox"
      aria-multiselectable="true"
      :class="{ choosing }"
      :aria-label="label"
      @keydown="pressed"
    >
      <div
        v-for="(tile, i) in tiles"
        class="tile"
        role="option"
        :class="{ waiting: tile.stale }"
        :key="tile.seed"
        :aria-selected="String(chosen.includes(tile.seed))"
        :tabindex="i === at ? 0 : -1"
        @click="clicked(i, $event)"
        @focus="at = i"
      >
        <img v-if="tile.src" :src="tile.src" :alt="tile.alt" :width="size" :height="size" />
        <span v-else class="blank"></span>
        <span class="number">{{ tile.seed }}</span>
      </div>
    </div>
  `,
  props: {
    label: String,
    size: Number, // of an image, in pixels
    tiles: Array, // of {seed, src, alt, stale}: without src what is not drawn yet
    choosing: Boolean, // a click chooses
  },
  emits: ["open", "chosen"],
  data() {
    return { at: 0, from: 0, chosen: [] };
  },
  watch: {
    tiles(now, before) {
      if (now[0]?.seed === before[0]?.seed && now.length === before.length) return;
      this.at = Math.min(this.at, now.length - 1);
      this.from = this.at;
      this.choose([]);
    },
  },
  methods: {
    choose(seeds) {
      if (!seeds.length && !this.chosen.length) return;
      this.chosen = [...seeds].sort((a, b) => a - b);
      this.$emit("chosen", this.chosen);
    },
    toggle(i) {
      const { seed } = this.tiles[i];
      const others = this.chosen.filter((each) => each !== seed);
      this.from = i;
      this.choose(others.length < this.chosen.length ? others : [...others, seed]);
    },
    range(to) {
      const [first, last] = [Math.min(this.from, to), Math.max(this.from, to)];
      this.choose(this.tiles.slice(first, last + 1).map((tile) => tile.seed));
    },
    focus(i) {
      this.at = i;
      this.$el.children[i].focus();
    },
    columns() {
      const tops = [...this.$el.children].map((tile) => tile.offsetTop);
      return tops.filter((top) => top === tops[0]).length;
    },
    clicked(i, event) {
      this.focus(i);
      if (event.shiftKey) this.range(i);
      else if (event.ctrlKey || event.metaKey || this.choosing) this.toggle(i);
      else this.open(i);
    },
    open(i) {
      this.from = i;
      this.$emit("open", this.tiles[i].seed);
    },
    turned(key) {
      const last = this.tiles.length - 1;
      const down = this.columns();
      const steps = [this.at - 1, this.at + 1, this.at - down, this.at + down, 0, last];
      const to = steps[TURNS.indexOf(key)];
      return to < 0 || to > last ? this.at : to;
    },
    pressed(event) {
      const { key, shiftKey } = event;
      const whole = (event.ctrlKey || event.metaKey) && key.toLowerCase() === "a";
      if (event.altKey || ((event.ctrlKey || event.metaKey) && !whole)) return;
      if (whole) this.choose(this.tiles.map((tile) => tile.seed));
      else if (key === "Enter") this.open(this.at);
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
