-- Accounts of the provider `accounts`: who may log in with a password, checked by the server itself.
CREATE TABLE gom.account (
  -- In lower case; what people type is folded before it is looked up.
  username text PRIMARY KEY CHECK (username <> ''),
  -- The claim `sub` of its tokens: of a seller `User.extUid`. Several accounts may act for one seller.
  subject text NOT NULL CHECK (subject <> ''),
  -- A role of the policy, which says what permissions the tokens carry.
  role text NOT NULL CHECK (role <> ''),
  -- argon2id, in the PHC string format.
  password_hash text NOT NULL,
  disabled boolean NOT NULL DEFAULT false,
  -- Counts the changes of the password and of `disabled`: refresh tokens of an earlier version are refused.
  version bigint NOT NULL DEFAULT 1,
  -- nickname, name, picture, email: what the client may show after a login.
  profile jsonb NOT NULL DEFAULT '{}',
  created_at timestamptz NOT NULL DEFAULT now(),
  updated_at timestamptz NOT NULL DEFAULT now()
);

CREATE INDEX account_subject ON gom.account (subject);
