// An image that is replaced often: the next one is asked for when the last has come, and of those
// that were wanted in between the newest. Else a browser that is slower than the server would show none.
export default {
  template: `<img class="picture" :src="shown?.src" :alt="shown?.alt" @load="next" @error="next" />`,
  props: {
    image: Object, // {src, alt}
  },
  data() {
    return { shown: this.image, loading: !!this.image };
  },
  watch: {
    image() {
      if (!this.loading) this.next();
    },
  },
  methods: {
    next() {
      this.loading = !!this.image && this.image.src !== this.shown?.src;
      this.shown = this.image;
    },
  },
};
