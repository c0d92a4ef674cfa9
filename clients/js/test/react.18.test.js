// The hooks with the earlier major version of React.
process.env.REACT = "18";
await import("./react.hooks.test.js");
