// The search runs in a worker, which browsers refuse to pages that are opened as files: there it
// runs in a hidden frame.
if (location.protocol === "file:") {
  window.Worker = class extends EventTarget {
    constructor(url) {
      super();
      const frame = document.createElement("iframe");
      frame.hidden = true;
      document.body.appendChild(frame);
      this.inside = frame.contentWindow;
      addEventListener("message", (event) => {
        if (event.source !== this.inside) return;
        this.dispatchEvent(new MessageEvent("message", { data: event.data }));
      });
      const page = this.inside.document;
      page.open();
      page.write("<script>postMessage = (data) => parent.postMessage(data, '*')</script>");
      const script = page.createElement("script");
      this.ready = new Promise((resolve) => (script.onload = resolve));
      script.src = new URL(url, document.baseURI).href;
      page.head.appendChild(script);
      page.close();
    }

    postMessage(data) {
      this.ready.then(() =>
        this.inside.dispatchEvent(new MessageEvent("message", { data, source: window })),
      );
    }
  };
}
