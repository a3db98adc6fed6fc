// A file by the file dialogue or dropped anywhere on the page.

export class FilePicker {
  constructor(zone, input, { onFile, onError }) {
    input.addEventListener("change", () => {
      if (input.files.length) onFile(input.files[0]);
      input.value = ""; // the same file may be chosen again
    });
    let depth = 0; // dragging over a child leaves the parent
    const show = (change) => {
      depth = change === 0 ? 0 : depth + change;
      zone.classList.toggle("over", depth > 0);
    };
    document.addEventListener("dragenter", () => show(1));
    document.addEventListener("dragleave", () => show(-1));
    document.addEventListener("dragover", (event) => event.preventDefault());
    document.addEventListener("drop", (event) => {
      event.preventDefault(); // the browser would open the file
      show(0);
      const { files } = event.dataTransfer;
      if (files.length === 1) onFile(files[0]);
      else onError(files.length ? "Drop one file at a time." : "That is no file.");
    });
  }
}
