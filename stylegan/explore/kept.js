// Recipes kept in the browser's storage, for one network.
export default {
  template: `<span hidden></span>`,
  props: { network: String },
  emits: ["kept"],
  mounted() {
    let kept = [];
    try {
      kept = JSON.parse(localStorage.getItem(this.network) ?? "[]");
    } catch {
      // Somebody else's, or no storage.
    }
    if (Array.isArray(kept) && kept.length) this.$emit("kept", kept);
  },
  methods: {
    keep(recipes) {
      try {
        localStorage.setItem(this.network, JSON.stringify(recipes));
      } catch {
        // Full, or forbidden: the strip lasts as long as the page.
      }
    },
  },
};
