// The one question of the page, in a modal dialog. The browser keeps the focus inside and gives it back after.

const byId = (id) => document.getElementById(id);

/** Resolves to true if the user wants the upload of `name` deleted; Escape means no. */
export function confirmCancel(name) {
  const dialog = byId("confirm");
  byId("confirm-words").textContent = `What the server has stored of “${name}” will be deleted.`;
  dialog.showModal();
  byId("confirm-no").focus();
  // Not by the `close` event: it comes later than the dialog goes, and then answers the next question.
  return new Promise((resolve) => {
    const answer = (isYes) => () => {
      dialog.close();
      resolve(isYes);
    };
    byId("confirm-yes").onclick = answer(true);
    byId("confirm-no").onclick = answer(false);
    dialog.oncancel = () => resolve(false);
  });
}
