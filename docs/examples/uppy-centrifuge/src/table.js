// One line a file: what Uppy has sent beside what the server has stored.

export class Table {
  #body;
  #none;
  #lines = new Map();

  constructor(document) {
    this.#body = document.getElementById('files');
    this.#none = document.getElementById('none');
  }

  taskOf(file) {
    return this.#lines.get(file.id)?.task;
  }

  sent(file, percent) {
    this.#line(file).sent.show(percent);
  }

  stored(file, percent) {
    this.#line(file).stored.show(percent);
  }

  followed(file, task) {
    const line = this.#line(file);
    line.task = task;
    line.id.textContent = task;
  }

  refused(file, reason) {
    this.#line(file).id.textContent = `cannot be followed: ${reason}`;
  }

  remove(file) {
    this.#lines.get(file.id)?.row.remove();
    this.#lines.delete(file.id);
    this.#none.hidden = this.#lines.size > 0;
  }

  #line(file) {
    const known = this.#lines.get(file.id);
    if (known) return known;
    const row = this.#body.insertRow();
    const name = document.createElement('th');
    name.scope = 'row';
    name.textContent = file.name;
    row.append(name);
    const line = {
      row,
      task: undefined,
      sent: bar(row.insertCell(), `Sent: ${file.name}`),
      stored: bar(row.insertCell(), `Stored: ${file.name}`),
      id: row.insertCell(),
    };
    line.id.className = 'id';
    this.#lines.set(file.id, line);
    this.#none.hidden = true;
    return line;
  }
}

function bar(cell, label) {
  const progress = document.createElement('progress');
  progress.max = 100;
  progress.value = 0;
  progress.setAttribute('aria-label', label);
  const number = document.createElement('span');
  number.textContent = '0 %';
  cell.append(progress, number);
  return {
    show(percent) {
      progress.value = percent;
      number.textContent = `${percent} %`;
    },
  };
}
