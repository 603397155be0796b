// A preview that plays round and round. Its frames are fetched one after another: the first at once,
// the others when it plays, which waits for those that are not there yet.
export default {
  template: `
    <div class="preview" role="group" aria-label="Preview" v-show="count">
      <canvas ref="screen" role="img" aria-label="Preview of the film" :width="size" :height="size"></canvas>
      <div class="transport">
        <button type="button" class="plain" @click="turn">{{ playing ? "Pause" : "Play" }}</button>
        <input
          type="range"
          aria-label="Frame of the preview"
          min="0"
          :max="Math.max(count - 1, 0)"
          :value="at"
          @input="seek(Number($event.target.value))"
        />
        <span class="remark" role="status">{{ status }}</span>
      </div>
    </div>
  `,
  props: {
    where: String, // address of a frame but for its number
    count: Number, // of frames
    period: Number, // ms that a frame is shown
    size: Number, // of a frame, in pixels
  },
  data() {
    return { at: 0, playing: false, drawn: 0, failed: false };
  },
  computed: {
    status() {
      if (this.failed) return "A frame could not be drawn.";
      return this.drawn < this.count && this.playing ? `${this.drawn} of ${this.count} drawn` : "";
    },
  },
  watch: {
    where: "begin",
    period() {
      if (this.playing) this.beat();
    },
  },
  mounted() {
    this.begin();
  },
  unmounted() {
    clearInterval(this.timer);
    this.round = null;
  },
  methods: {
    begin() {
      this.pause();
      this.round = {}; // what an earlier film still fetches is dropped
      this.images = [];
      this.at = this.drawn = 0;
      this.failed = false;
      if (this.count) this.draw(0);
    },
    turn() {
      if (this.playing) this.pause();
      else if (this.count) this.play();
    },
    pause() {
      clearInterval(this.timer);
      this.playing = false;
    },
    play() {
      this.playing = true;
      this.failed = false;
      this.fill();
      this.beat();
    },
    beat() {
      clearInterval(this.timer);
      this.timer = setInterval(() => {
        const next = (this.at + 1) % this.count;
        if (this.images[next]) this.show(next);
      }, this.period);
    },
    async fill() {
      const [round, from] = [this.round, this.at];
      for (let k = 0; k < this.count && this.playing && round === this.round; k++) {
        if (!(await this.draw((from + k) % this.count))) return;
      }
    },
    async seek(place) {
      this.pause();
      this.at = place;
      await this.draw(place);
    },
    async draw(place) {
      if (!this.images[place]) {
        const round = this.round;
        const image = new Image();
        image.src = this.where + place;
        try {
          await image.decode();
        } catch {
          if (round === this.round) this.failed = true;
          return false;
        }
        if (round !== this.round) return false;
        if (!this.images[place]) this.drawn += 1;
        this.images[place] = image;
      }
      if (place === this.at) this.show(place);
      return true;
    },
    show(place) {
      this.at = place;
      const canvas = this.$refs.screen;
      const context = canvas.getContext("2d");
      context.clearRect(0, 0, canvas.width, canvas.height);
      context.drawImage(this.images[place], 0, 0);
    },
  },
};
