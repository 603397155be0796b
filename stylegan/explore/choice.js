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
    </div>
  `,
  props: {
    label: String,
    options: Object,
    modelValue: String,
  },
  emits: ["update:modelValue"],
};
