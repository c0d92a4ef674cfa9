//! What a policy makes of an operation: the permission that it needs, the rule of each table that it visits, and the
//! statements with the rules in them.

use std::fmt::Write as _;
use std::sync::Arc;

use gom_engine::error::ApiError;
use gom_engine::plan::{Access, PageLimits, Planner, Program, Statement, Step, WriteHooks};
use gom_engine::policy::{Permissions, Policy, Role};
use gom_engine::request::{Operation, OperationKind, Selected, SelectedField, Variables};
use serde_json::{Map, Value};

use crate::graphql::{SUBJECT, Sources};

/// What is to be explained.
#[derive(Debug, Clone, Copy)]
pub struct Explained<'a> {
    /// Compiles the operation into the statements that are shown.
    pub planner: &'a Planner,
    /// Whose permissions and rules are shown.
    pub policy: &'a Arc<Policy>,
    /// The viewer's only role.
    pub role: &'a Role,
    /// What the viewer requests; it is compiled and not executed.
    pub operation: &'a Operation,
    /// The operation's variables: they decide which fields are included.
    pub variables: &'a Variables,
    /// The token's; claims that the rules need and that are missing here stand as `$name`.
    pub claims: &'a Map<String, Value>,
}

/// The explanation, for people.
///
/// # Errors
/// If the role's rules cannot be bound to the claims.
pub fn explain(asked: Explained<'_>) -> Result<String, ApiError> {
    let mut claims = asked.claims.clone();
    for name in asked.role.claims().chain(["sub", SUBJECT]) {
        claims
            .entry(name)
            .or_insert_with(|| format!("${name}").into());
    }
    // Permissions are shown, not required: the statements are to be seen in any case.
    let permissions = Permissions::of([format!("role:{}", asked.role.name).as_str(), "manage:all"]);
    let rights = asked.planner.rights(asked.policy, permissions, &claims)?;
    let access = Access::Limited(&rights);
    let mut out = String::new();
    for field in asked
        .operation
        .fields
        .iter()
        .filter(|field| field.inclusion.holds(asked.variables))
    {
        if !matches!(field.meaning, Selected::Field(_)) {
            continue;
        }
        asked.permission(&mut out, field);
        match asked.statements(field, access) {
            Ok(statements) => asked.rules(&mut out, &statements),
            // Writing to a string cannot fail; so below.
            Err(error) => _ = writeln!(out, "  refused: {error}"),
        }
        out.push('\n');
    }
    Ok(out)
}

impl Explained<'_> {
    fn permission(&self, out: &mut String, field: &SelectedField) {
        let role = Permissions::of(self.role.permissions.iter().map(String::as_str));
        let (kind, name) = (self.operation.kind, field.name.as_str());
        _ = match self.policy.needed(kind, name) {
            None => writeln!(
                out,
                "{name}: not listed in the policy, hence refused for every user"
            ),
            Some(needed) => {
                let needed = needed
                    .iter()
                    .map(ToString::to_string)
                    .collect::<Vec<_>>()
                    .join(" and ");
                let have = if self.policy.allows(kind, name, &role) {
                    "have"
                } else {
                    "do not have"
                };
                writeln!(
                    out,
                    "{name}: needs {needed}, which the tokens issued for this role {have}"
                )
            }
        };
    }

    fn statements(
        &self,
        field: &SelectedField,
        access: Access<'_>,
    ) -> Result<Vec<Statement>, ApiError> {
        let limits = PageLimits::default();
        if self.operation.kind == OperationKind::Query {
            return Ok(vec![self.planner.query(
                field,
                self.variables,
                limits,
                access,
            )?]);
        }
        let amendments = WriteHooks::default();
        let program: Program = self.planner.mutation(
            field,
            self.variables,
            limits,
            access,
            &mut Sources,
            amendments,
        )?;
        let mut statements = Vec::new();
        collect(program.steps, &mut statements);
        Ok(statements)
    }

    /// The rule of each table that stands in the statements, and the statements.
    fn rules(&self, out: &mut String, statements: &[Statement]) {
        let physical = self.planner.physical();
        for id in physical.model.model_ids() {
            if !statements
                .iter()
                .any(|statement| statement.sql.contains(physical.table(id)))
            {
                continue;
            }
            let name = &physical.model.model(id).name;
            match self.role.row_rule(id) {
                None => _ = writeln!(out, "  {name}: no rule, hence no row"),
                Some(rule) => _ = writeln!(out, "  {name}: {}", rule.text),
            }
            if let Some(rule) = self.role.write_rule(id) {
                _ = writeln!(out, "  {name}, to be written: also {}", rule.text);
            }
        }
        for statement in statements {
            _ = writeln!(out, "\n  {}", statement.sql);
        }
    }
}

fn collect(steps: Vec<Step>, into: &mut Vec<Statement>) {
    for step in steps {
        match step {
            Step::Run { statement, .. } => into.push(statement),
            Step::Choose {
                then, otherwise, ..
            } => {
                collect(then, into);
                collect(otherwise, into);
            }
        }
    }
}
