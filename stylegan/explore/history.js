// What outlives the page: where it is, in the address, where Back, Forward and a link find it. Shows
// the buttons that undo and redo.
const REST = 400; // ms: what changes sooner than that is one step of the history
const written = (query) => String(new URLSearchParams(query));
export default {
  template: `
    <div class="history">
      <q-btn v-bind="look" icon="undo" label="Undo" :disable="place < 1" @click="go(-1)" />
      <q-btn v-bind="look" icon="redo" label="Redo" :disable="place >= last" @click="go(1)" />
    </div>
  `,
  emits: ["place"],
  data() {
    const look = { flat: true, noCaps: true, noWrap: true, color: "primary" };
    return { look, place: 0, last: 0, changed: 0 };
  },
  mounted() {
    this.place = history.state?.place ?? 0;
    this.last = Math.max(Number(sessionStorage.getItem("last") ?? 0), this.place);
    window.addEventListener("popstate", this.moved);
  },
  unmounted() {
    window.removeEventListener("popstate", this.moved);
  },
  methods: {
    go(step) {
      if (step < 0 ? this.place < 1 : this.place >= this.last) return;
      if (this.going) return; // a second step before the first is made might lead out of the page
      this.going = true;
      if (this.timer) this.write("replaceState");
      history.go(step);
    },
    moved(event) {
      clearTimeout(this.timer);
      this.wanted = this.timer = null;
      this.going = false;
      this.place = event.state?.place ?? 0;
      this.$emit("place", location.search.slice(1));
    },
    // `apart`: a step of its own, however soon it follows.
    record(query, apart) {
      query = written(query);
      const first = !this.begun;
      this.begun = true;
      if (query === (this.wanted ?? written(location.search))) return;
      const rested = apart || Date.now() - this.changed > REST;
      if (first) {
        // The page has just come to this address, and says it in its own words.
        this.wanted = query;
        this.write("replaceState");
      } else if (rested) {
        if (this.timer) this.write("replaceState");
        this.changed = Date.now();
        this.wanted = query;
        this.place += 1;
        this.last = this.place;
        sessionStorage.setItem("last", this.last);
        this.write("pushState");
      } else {
        this.changed = Date.now();
        this.wanted = query;
        // Browsers let a page do this some 200 times in 30 seconds.
        this.timer ??= setTimeout(() => this.write("replaceState"), REST / 2);
      }
    },
    write(how) {
      clearTimeout(this.timer);
      this.timer = null;
      const where = this.wanted ? "?" + this.wanted : location.pathname;
      history[how]({ place: this.place }, "", where);
      this.wanted = null;
    },
  },
};
