// One of a few, by the browser's own radio buttons, which arrow keys move.
export default {
  template: `
    <div class="choice" role="radiogroup" :aria-label="label">
      <label v-for="(text, key) in options" :key="key">
        <input
          type="radio"
          :name="'choice-' + $.uid"
          :checked="key === modelValue"
          @change="$emit('update:modelValue', key)"
        />
        {{ text }}
      </label>
      <button
        v-show="modelValue !== start"
        type="button"
        class="reset-one"
        :aria-label="'Reset ' + label.toLowerCase()"
        :title="'Reset ' + label.toLowerCase()"
        @click="reset"
      >
        <q-icon name="restart_alt" />
      </button>
    </div>
  `,
  props: {
    label: String,
    options: Object,
    modelValue: String,
  },
  emits: ["update:modelValue"],
  computed: {
    start() {
      return Object.keys(this.options)[0];
    },
  },
  methods: {
    reset() {
      this.$el.querySelector("input").focus();
      this.$emit("update:modelValue", this.start);
    },
  },
};
