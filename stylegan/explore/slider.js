// One or two thumbs on one track, of the browser's own kind: reached and moved by keyboard and by
// screen readers. The text beside the label follows at once, without the server.
export default {
  template: `
    <div class="slider" role="group" :aria-label="label">
      <div class="slider-head">
        <span aria-hidden="true">{{ label }}</span>
        <output aria-hidden="true">{{ said }}</output>
        <button
          type="button"
          class="reset-one"
          :class="{ needless: !differs }"
          :aria-label="'Reset ' + label"
          :title="'Reset ' + label"
          @click="reset"
        >
          <q-icon name="restart_alt" />
        </button>
      </div>
      <div class="slider-track" :class="{ double: names.length > 1 }" :style="filled">
        <input
          v-for="(name, i) in names"
          type="range"
          :key="i"
          :aria-label="name"
          :aria-valuetext="text([values[i]])"
          :min="min"
          :max="max"
          :step="step"
          :value="values[i]"
          @input="move(i, $event.target)"
        />
      </div>
    </div>
  `,
  props: {
    label: String,
    names: Array,
    min: Number,
    max: Number,
    step: Number,
    digits: Number,
    start: Array, // what its button resets it to
    texts: Array, // of each whole number from 0, where a number alone does not say it
    modelValue: Array,
    loopback: Boolean,
  },
  emits: ["update:modelValue"],
  data() {
    return { values: this.given() };
  },
  watch: {
    modelValue() {
      this.values = this.given();
    },
  },
  computed: {
    said() {
      return this.text(this.values);
    },
    differs() {
      return this.values.some((value, i) => value.toFixed(this.digits) !== this.start[i].toFixed(this.digits));
    },
    filled() {
      const shares = this.values.map((value) => (value - this.min) / (this.max - this.min || 1));
      const zero = Math.min(Math.max(-this.min / (this.max - this.min || 1), 0), 1);
      const ends = shares.length > 1 ? shares : [zero, shares[0]];
      return { "--from": Math.min(...ends), "--to": Math.max(...ends) };
    },
  },
  methods: {
    given() {
      return [...this.modelValue];
    },
    text(values) {
      if (!this.texts) return values[0].toFixed(this.digits);
      const [first, last] = [values[0], values[values.length - 1]];
      const ends = [...new Set([this.texts[first], this.texts[last]])].join(" to ");
      if (values.length < this.names.length || this.names.length < 2) return ends;
      return (first < last ? `layers ${first} to ${last}` : `layer ${first}`) + `, ${ends}`;
    },
    reset() {
      this.values = [...this.start];
      this.$el.querySelector("input").focus();
      this.$emit("update:modelValue", [...this.values]);
    },
    move(i, input) {
      const value = Number(input.value);
      // A thumb takes the other one along, so none is ever stuck behind it.
      this.values = this.values.map((old, k) => {
        if (k === i) return value;
        return k < i ? Math.min(old, value) : Math.max(old, value);
      });
      this.$emit("update:modelValue", [...this.values]);
    },
  },
};
