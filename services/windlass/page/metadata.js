// The Upload-Metadata header of tus 1.0.0: `key base64,key base64`. Pure.

/** Standard padded base64 of the UTF-8 bytes (btoa alone takes Latin-1 only). */
export function base64(text) {
  let binary = "";
  for (const byte of new TextEncoder().encode(text)) binary += String.fromCharCode(byte);
  return btoa(binary);
}

/** Leaves out what is empty; throws on a key that the header cannot carry. */
export function encodeMetadata(values) {
  const pairs = [];
  for (const [key, value] of Object.entries(values)) {
    if (!/^[\x21-\x2b\x2d-\x7e]+$/.test(key)) throw new TypeError(`bad metadata key: ${key}`);
    if (value === undefined || value === null || value === "") continue;
    pairs.push(`${key} ${base64(String(value))}`);
  }
  return pairs.join(",");
}
