"""What schemathesis holds the answers of GraphQL against, beside its own checks: the schema, and the server's codes.

Its own reading of `errors` is that the server is at fault. Here most are the server's right: a row that is not there, a right that
the viewer lacks. What is asked for is valid by the schema, so what may be wrong with it is only what no schema can say.
"""
import json
import math

import graphql
import schemathesis
from graphql.language import ast

# Each is what a valid document may be answered; what is not here is a fault.
CODES = {
    "BAD_USER_INPUT", "GRAPHQL_EXECUTION_ERROR", "FORBIDDEN", "LIMIT_EXCEEDED",
    "BP_WITH_ACTIVE_ORDERS", "NO_CUSTOMERS", "PUBLICATION_NOT_WAITING", "TOO_MANY_PUBLICATIONS",
}
# What is wrong with a value of the right type: no column can hold it.
UNSTORABLE = ("U+0000", "year", "64 bits")


@schemathesis.check
def sound_answer(ctx, response, case):
    assert response.status_code in (200, 403), f"status {response.status_code}"
    assert response.headers["content-type"] == ["application/json; charset=utf-8"], response.headers["content-type"]
    answer = json.loads(response.content.decode("utf-8"), parse_constant=no_number)
    assert set(answer) <= {"data", "errors"} and "data" in answer, list(answer)
    errors = answer.get("errors", [])
    assert "errors" not in answer or errors, "a list of no errors"
    for error in errors:
        assert isinstance(error["message"], str) and error["message"], error
        code = error["extensions"]["code"]
        unstorable = code == "GRAPHQL_VALIDATION_FAILED" and any(word in error["message"] for word in UNSTORABLE)
        assert code in CODES or unstorable or is_bad(case), error
    if answer["data"] is None:
        assert errors, "no data, and no errors"
        return
    schema = case.operation.schema.client_schema
    document = graphql.parse(case.body if isinstance(case.body, str) else case.body["query"])
    operation = next(part for part in document.definitions if isinstance(part, ast.OperationDefinitionNode))
    root = schema.get_root_type(operation.operation)
    check(schema, root, [operation.selection_set], answer["data"], ())


def is_bad(case):
    """Whether the document was made to be refused."""
    return case.meta is not None and case.meta.generation.mode.is_negative


def no_number(text):
    raise AssertionError(f"{text} is no JSON")


def fields(schema, type_, sets):
    """The fields of selections on an object, by key; fragments without a type that does not fit."""
    found = {}
    for selection in (part for one in sets for part in one.selections):
        if isinstance(selection, ast.FieldNode):
            found.setdefault((selection.alias or selection.name).value, []).append(selection)
            continue
        condition = selection.type_condition
        named = schema.get_type(condition.name.value) if condition else type_
        if named is type_ or graphql.is_abstract_type(named) and schema.is_sub_type(named, type_):
            for key, nodes in fields(schema, type_, [selection.selection_set]).items():
                found.setdefault(key, []).extend(nodes)
    return found


def check(schema, type_, sets, value, path):
    """Whether a value is of its type, down to the leaves."""
    if graphql.is_non_null_type(type_):
        assert value is not None, f"{path}: null for {type_}"
        type_ = type_.of_type
    if value is None:
        return
    if graphql.is_list_type(type_):
        assert isinstance(value, list), f"{path}: {value!r} is no list"
        for index, item in enumerate(value):
            check(schema, type_.of_type, sets, item, (*path, index))
    elif graphql.is_leaf_type(type_):
        assert LEAVES.get(type_.name, lambda text: text in type_.values)(value), f"{path}: {value!r} is no {type_}"
    else:
        if graphql.is_abstract_type(type_):
            assert "__typename" in value, f"{path}: an abstract type without its name"
            type_ = schema.get_type(value["__typename"])
        wanted = fields(schema, type_, sets)
        assert list(value) == list(wanted), f"{path}: {list(value)} instead of {list(wanted)}"
        for key, nodes in wanted.items():
            name = nodes[0].name.value
            if name == "__typename":
                assert value[key] == type_.name
                continue
            inner = [node.selection_set for node in nodes if node.selection_set]
            check(schema, type_.fields[name].type, inner, value[key], (*path, key))


def is_int(value):
    return isinstance(value, int) and not isinstance(value, bool)


LEAVES = {
    "Boolean": lambda value: isinstance(value, bool),
    "DateTime": lambda value: isinstance(value, str) and value.endswith("Z") and value[-5] == ".",
    "Float": lambda value: is_int(value) or isinstance(value, float) and math.isfinite(value),
    "ID": lambda value: isinstance(value, str),
    "Int": lambda value: is_int(value) and -(2**31) <= value < 2**31,
    "Json": lambda value: True,
    "Long": lambda value: is_int(value) and -(2**63) <= value < 2**63,
    "String": lambda value: isinstance(value, str),
}
