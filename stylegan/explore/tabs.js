// Tabs of the views: one stop of Tab, arrow keys from one to the next, each with its own address.
// Where they have no room they are a strip that scrolls, with the open one in sight.
export default {
  template: `
    <div
      class="tabs"
      role="tablist"
      aria-label="Views"
      :class="{ 'more-before': before, 'more-after': after }"
      @keydown="step"
      @scroll.passive="look"
    >
      <button
        v-for="tab in tabs"
        type="button"
        role="tab"
        :key="tab.name"
        :id="'tab-' + tab.name"
        :data-title="tab.title"
        :aria-selected="String(tab.name === current)"
        :aria-controls="tab.panel"
        :tabindex="tab.name === current ? 0 : -1"
        @click="$emit('choose', tab.name)"
      >
        {{ tab.title }}
      </button>
    </div>
  `,
  props: {
    tabs: Array, // of {name, title, panel}
    current: String,
  },
  emits: ["choose"],
  data() {
    return { before: false, after: false }; // whether there are more that way
  },
  mounted() {
    this.observer = new ResizeObserver(this.reveal);
    this.observer.observe(this.$el);
  },
  unmounted() {
    this.observer.disconnect();
  },
  updated() {
    if (this.current !== this.revealed) this.reveal();
  },
  methods: {
    reveal() {
      const tab = this.$el.querySelector("[aria-selected=true]");
      if (!tab) return;
      this.revealed = this.current;
      this.$el.scrollLeft = tab.offsetLeft - (this.$el.clientWidth - tab.offsetWidth) / 2;
      this.look();
    },
    look() {
      const { scrollLeft, clientWidth, scrollWidth } = this.$el;
      this.before = scrollLeft > 1;
      this.after = scrollLeft + clientWidth < scrollWidth - 1;
    },
    step(event) {
      const all = [...event.currentTarget.children];
      const at = all.indexOf(event.target);
      const ends = { Home: 0, End: all.length - 1 };
      const steps = { ArrowLeft: at - 1, ArrowRight: at + 1, ...ends };
      if (at < 0 || !(event.key in steps) || event.altKey || event.ctrlKey || event.metaKey) return;
      event.preventDefault();
      const to = (steps[event.key] + all.length) % all.length;
      all[to].focus();
      this.$emit("choose", this.tabs[to].name);
    },
  },
};
