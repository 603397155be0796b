// An image that is replaced often: the next one is asked for when the last has come, and of those
// that were wanted in between the newest. Else a browser that is slower than the server would show none.
const PATIENCE = 400; // ms until the spinner appears
export default {
  template: `<img class="picture" :class="{ awaited }" v-bind="shown" @load="next" @error="next" />`,
  data() {
    return { shown: {}, loading: false, awaited: false };
  },
  unmounted() {
    clearTimeout(this.timer);
  },
  methods: {
    show(src, alt) {
      this.wanted = { src, alt };
      if (!this.loading) this.next();
    },
    // Whether the server is drawing another image.
    expect(another) {
      if (another) {
        this.timer ??= setTimeout(() => (this.awaited = true), PATIENCE);
        return;
      }
      clearTimeout(this.timer);
      this.timer = null;
      this.awaited = false;
    },
    next() {
      this.loading = this.wanted.src !== this.shown.src;
      this.shown = this.wanted;
    },
  },
};
