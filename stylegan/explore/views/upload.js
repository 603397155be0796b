// A file of the user, sent to the server as it is; `taken` tells what the server made of it.
export default {
  template: `
    <div class="upload">
      <label class="plain">
        <q-icon name="add_photo_alternate" />
        {{ label }}
        <span class="drop">or drop it here</span>
        <input type="file" :accept="accept" :disabled="busy" @change="send($event.target)" />
      </label>
      <span role="status">{{ status }}</span>
    </div>
  `,
  props: {
    label: String,
    accept: String,
    where: String,
    most: Number, // bytes
  },
  emits: ["taken"],
  data() {
    return { busy: false, status: "" };
  },
  methods: {
    async send(input) {
      const [file] = input.files;
      if (!file) return;
      if (file.size > this.most) {
        const limit = Math.floor(this.most / 2 ** 20);
        this.$emit("taken", { error: `${file.name} is larger than ${limit} MiB: use a smaller file` });
        input.value = "";
        return;
      }
      this.busy = true;
      this.status = `Sending ${file.name}`;
      let answer = { error: "the server does not answer: is it running?" };
      try {
        const query = new URLSearchParams({ name: file.name });
        const response = await fetch(`${this.where}?${query}`, { method: "POST", body: file });
        answer = response.ok ? await response.json() : { error: (await response.text()).trim() };
      } catch {
        // told by what stands in `answer`
      }
      this.busy = false;
      this.status = "";
      input.value = ""; // the same file may be chosen again
      this.$emit("taken", answer);
    },
  },
};
