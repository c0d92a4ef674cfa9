// The current viewer, and the dialog that changes it.

import { useRef, useState } from "react";
import * as place from "./place.js";
import { forgetToken, logIn, logOut, useToken as takeToken } from "./session.js";

const time = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });

/** A form that shows errors, and closes the dialog on success. */
const Form = ({ title, note, button, submit, children }) => {
  const [problem, setProblem] = useState();
  const [busy, setBusy] = useState(false);
  const send = async (event) => {
    event.preventDefault();
    const form = event.currentTarget;
    setBusy(true);
    try {
      const found = await submit(new FormData(form));
      setProblem(found);
      if (!found) form.reset();
    } catch {
      setProblem("The server cannot be reached");
    } finally {
      setBusy(false);
    }
  };
  return (
    <form className="account-form" onSubmit={send}>
      <h3>{title}</h3>
      {note && <p className="account-note">{note}</p>}
      {children}
      {problem && <p className="account-problem" role="alert">{problem}</p>}
      <button className="account-button" disabled={busy}>{button}</button>
    </form>
  );
};

const LogIn = ({ done }) => (
  <Form
    title="Log in"
    button="Log in"
    submit={async (form) => (await logIn(form.get("username"), form.get("password"))) ?? done()}
  >
    <label>
      Name
      <input name="username" autoComplete="username" autoCapitalize="none" spellCheck={false} required maxLength={256} />
    </label>
    <label>
      Password
      <input name="password" type="password" autoComplete="current-password" required maxLength={256} />
    </label>
  </Form>
);

const Token = ({ done }) => (
  <Form
    title="Or use a token"
    note={
      <>
        <code>gom token</code> signs one. It is kept in this tab only, until it is closed.
      </>
    }
    button="Use the token"
    submit={async (form) => takeToken(form.get("token")) ?? done()}
  >
    <label>
      Bearer token
      <input name="token" type="password" autoComplete="off" spellCheck={false} required />
    </label>
  </Form>
);

const Known = ({ viewer, done }) => (
  <Form
    title={viewer.name}
    note={viewer.until && `Good until ${time.format(viewer.until)}.`}
    button={viewer.kind === "service" ? "Forget the token" : "Log out"}
    submit={async () => {
      if (viewer.kind === "user") return (await logOut()) ?? done();
      forgetToken();
      done();
    }}
  />
);

/** The button that shows the current viewer, and its dialog. */
export const Account = ({ viewer, dialog, onChange }) => {
  // The fields are created each time the dialog opens: nothing that was typed remains.
  const [opened, setOpened] = useState(0);
  const done = () => {
    dialog.current.close();
    onChange();
  };
  const open = () => {
    setOpened(opened + 1);
    dialog.current.showModal();
  };
  return (
    <>
      <button type="button" className={viewer ? "account known" : "account"} onClick={open} title={viewer?.name}>
        <span>{viewer ? viewer.name : "Log in"}</span>
      </button>
      <dialog ref={dialog} className="account-dialog" aria-label="Who asks">
        <button type="button" className="account-close" aria-label="Close" onClick={() => dialog.current.close()}>
          ×
        </button>
        <div key={opened}>
          {viewer && <Known viewer={viewer} done={done} />}
          {viewer?.kind !== "user" && <LogIn done={done} />}
          {viewer?.kind !== "service" && <Token done={done} />}
        </div>
        <p className="account-foot">
          GraphiQL and what it is made of: <a href={place.licences}>licences</a>
        </p>
      </dialog>
    </>
  );
};

export const useDialog = () => useRef(null);
