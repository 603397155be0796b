// An element whose attributes and words are set by methods. NiceGUI's own updates make the browser
// render the whole page again, which takes longer than drawing an image.
export default {
  template: `
    <component :is="kind" v-bind="attributes"
      ><slot /><template v-for="(word, i) in words">{{ i ? " " : "" }}<span>{{ word }}</span></template
    ></component>
  `,
  props: {
    kind: String, // name of the element
  },
  data() {
    return { attributes: {}, words: [] };
  },
  methods: {
    set(attributes) {
      this.attributes = attributes;
    },
    say(words) {
      this.words = words;
    },
  },
};
