// Images in an order that is changed by dragging, or by the buttons below each, which keep the focus.
export default {
  template: `
    <ol class="frames" aria-label="Images of the film, in their order" v-show="frames.length">
      <li
        v-for="(frame, i) in frames"
        draggable="true"
        :key="frame.key"
        :class="{ dragged: frame.key === dragged }"
        @dragstart="drag(frame.key, $event)"
        @dragend="dragged = null"
        @dragover.prevent
        @drop.prevent="drop(i)"
      >
        <button type="button" class="shown" :aria-label="'Open ' + frame.key" @click="$emit('open', frame.key)">
          <img :src="frame.src" alt="" draggable="false" />
        </button>
        <span class="order">
          <button
            v-for="act in acts"
            type="button"
            class="reset-one"
            :key="act.name"
            :data-act="act.name"
            :aria-label="act.label + ' ' + frame.key"
            :title="act.label"
            :aria-disabled="String(!can(act, i))"
            @click="apply(act, i)"
          >
            <q-icon :name="act.icon" />
          </button>
        </span>
      </li>
    </ol>
  `,
  props: {
    frames: Array, // of {key, src}: the key is the recipe
  },
  emits: ["ordered", "open"],
  data() {
    return {
      dragged: null,
      focus: null,
      acts: [
        { name: "earlier", label: "Earlier:", icon: "chevron_left", by: -1 },
        { name: "remove", label: "Leave out:", icon: "close" },
        { name: "later", label: "Later:", icon: "chevron_right", by: 1 },
      ],
    };
  },
  updated() {
    // The browser takes the focus from what is moved on the page.
    if (!this.focus) return;
    const { key, name } = this.focus;
    const at = this.frames.findIndex((frame) => frame.key === key);
    this.focus = null;
    this.$el.children[at]?.querySelector(`[data-act=${name}]`).focus();
  },
  methods: {
    can(act, i) {
      return !act.by || (i + act.by >= 0 && i + act.by < this.frames.length);
    },
    apply(act, i) {
      if (!this.can(act, i)) return;
      const key = this.frames[i].key;
      if (act.by) this.move(i, i + act.by);
      else this.order(this.frames.filter((frame) => frame.key !== key));
      const near = act.by ? key : (this.frames[i + 1] ?? this.frames[i - 1])?.key;
      this.focus = { key: near, name: act.name };
    },
    move(from, to) {
      const frames = [...this.frames];
      frames.splice(to, 0, ...frames.splice(from, 1));
      this.order(frames);
    },
    order(frames) {
      this.$emit(
        "ordered",
        frames.map((frame) => frame.key),
      );
    },
    drag(key, event) {
      this.dragged = key;
      event.dataTransfer.effectAllowed = "move";
      event.dataTransfer.setData("text/plain", key);
    },
    drop(to) {
      const from = this.frames.findIndex((frame) => frame.key === this.dragged);
      this.dragged = null;
      if (from >= 0 && from !== to) this.move(from, to);
    },
  },
};
