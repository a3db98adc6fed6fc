// Samples -> a WAV file, 16 bits, one channel.

const HEADER_BYTES = 44;

export function wavFile(chunks, rate, name) {
  const nBytes = chunks.reduce((sum, chunk) => sum + chunk.byteLength, 0);
  return new File([header(nBytes, rate), ...chunks], name, { type: "audio/wav" });
}

function header(nBytes, rate) {
  const view = new DataView(new ArrayBuffer(HEADER_BYTES));
  text(view, 0, "RIFF");
  view.setUint32(4, HEADER_BYTES - 8 + nBytes, true);
  text(view, 8, "WAVEfmt ");
  view.setUint32(16, 16, true); // the length of what follows
  view.setUint16(20, 1, true); // PCM
  view.setUint16(22, 1, true); // one channel
  view.setUint32(24, rate, true);
  view.setUint32(28, 2 * rate, true);
  view.setUint16(32, 2, true);
  view.setUint16(34, 16, true);
  text(view, 36, "data");
  view.setUint32(40, nBytes, true);
  return view.buffer;
}

function text(view, at, letters) {
  [...letters].forEach((letter, i) => view.setUint8(at + i, letter.charCodeAt(0)));
}
