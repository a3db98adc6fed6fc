// Server-sent events out of text that comes in pieces.

export class EventReader {
  #rest = "";

  // The events that are complete with this piece, as the objects of their data.
  read(piece) {
    const blocks = (this.#rest + piece.replaceAll("\r", "")).split("\n\n");
    this.#rest = blocks.pop();
    return blocks.map(dataOf).filter((data) => data && data !== "[DONE]").map((data) => JSON.parse(data));
  }
}

function dataOf(block) {
  return block
    .split("\n")
    .filter((line) => line.startsWith("data:"))
    .map((line) => line.slice(5).trimStart())
    .join("\n");
}
