// Tabs of the views: one stop of Tab, arrow keys from one to the next, each with its own address.
export default {
  template: `
    <div class="tabs" role="tablist" aria-label="Views" @keydown="step">
      <button
        v-for="tab in tabs"
        type="button"
        role="tab"
        :key="tab.name"
        :id="'tab-' + tab.name"
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
  methods: {
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
