// The one question of the page, in a modal dialog. The browser keeps the focus inside and gives it back after.

const byId = (id) => document.getElementById(id);

/** Resolves to true if the user wants the upload of `name` deleted; Escape means no. */
export function confirmCancel(name) {
  const dialog = byId("confirm");
  byId("confirm-words").textContent = `What the server has stored of “${name}” will be deleted.`;
  dialog.returnValue = "";
  dialog.showModal();
  byId("confirm-no").focus();
  byId("confirm-yes").onclick = () => dialog.close("yes");
  byId("confirm-no").onclick = () => dialog.close();
  return new Promise((resolve) => {
    dialog.onclose = () => resolve(dialog.returnValue === "yes");
  });
}
