/** The task id in an upload's URL, `…/files/<tenant>/<id>[/<key>]`; undefined if there is none. */
export function taskOf(uploadUrl) {
  if (!uploadUrl) return undefined;
  const [, , id] = /\/files\/([^/]+)\/([^/?#]+)/.exec(new URL(uploadUrl).pathname) ?? [];
  return id;
}
