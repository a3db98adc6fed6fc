// Talks to the server: the token that it may ask for, and its errors as one sentence.

const KEY = "granite-mlx-token";
let token = readToken();

export class ServerError extends Error {
  constructor(message, status) {
    super(message);
    this.status = status;
  }
}

export const UNREACHABLE = "The server did not answer. Is granite-mlx serve still running?";

export function setToken(given) {
  token = given.trim();
  try {
    sessionStorage.setItem(KEY, token); // this tab only, until it is closed
  } catch {
    // Private windows may keep nothing: the token then lasts as long as the page.
  }
}

export function hasToken() {
  return token !== "";
}

export function headers() {
  return token ? { Authorization: `Bearer ${bytesOf(token)}` } : {};
}

// A WebSocket has no headers of its own in a browser, and a subprotocol takes few characters.
export function socketProtocols() {
  if (!token) return ["realtime"];
  const written = btoa(bytesOf(token)).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
  return ["realtime", `granite-mlx-token.${written}`];
}

// UTF-8, each byte as a character.
function bytesOf(text) {
  return Array.from(new TextEncoder().encode(text), (byte) => String.fromCharCode(byte)).join("");
}

export async function request(path, options = {}) {
  let response;
  try {
    response = await fetch(path, { ...options, headers: { ...headers(), ...options.headers } });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ServerError(UNREACHABLE, 0);
  }
  if (!response.ok) throw serverError(response.status, await response.text());
  return response;
}

export function serverError(status, body) {
  if (status === 401) {
    const message = hasToken()
      ? "The server does not accept this access token."
      : "This server asks for an access token.";
    return new ServerError(message, status);
  }
  return new ServerError(asSentence(messageOf(body) || `The server answered with status ${status}`), status);
}

export function asSentence(text) {
  const trimmed = text.trim();
  const ended = /[.!?]$/.test(trimmed) ? trimmed : `${trimmed}.`;
  return ended.charAt(0).toUpperCase() + ended.slice(1);
}

function messageOf(body) {
  try {
    return JSON.parse(body).error.message;
  } catch {
    return "";
  }
}

function readToken() {
  try {
    return sessionStorage.getItem(KEY) ?? "";
  } catch {
    return "";
  }
}
