/** GraphRecord columns -> Graph: ops, calls, modules and values as objects. The twin of `graphscope/graph/columns.py`. */

import { type Autograd, autogradOf } from "./autograd";
import { FAILED, type GraphRecord, INPLACE, VALUE_KINDS, VIEW, type ValueKind } from "../schema";

/** One tensor at one moment. */
export interface Value {
  id: number;
  kind: ValueKind;
  name: string;
  shape: number[];
  dtype: string;
  device: string;
  requiresGrad: boolean;
}

/** One call of a public torch function. */
export interface Op {
  id: number;
  op: string;
  /** Call in which it ran. */
  scope: number;
  inputs: number[];
  outputs: number[];
  params: string[];
  attrs: Record<string, unknown>;
  file: string;
  line: number;
  gradFn: string;
  opaque: string;
  inplace: boolean;
  view: boolean;
  failed: boolean;
}

/** One call of one module. */
export interface Call {
  id: number;
  module: number;
  fqn: string;
  call: number;
  /** Call during which it was made, -1 for the root's. */
  parent: number;
  opaque: string;
  outputs: number[];
}

export interface Param {
  name: string;
  shape: number[];
  trainable: boolean;
  tiedTo: string | null;
}

export interface Module {
  id: number;
  fqn: string;
  /** Last part of the path; the class name for the root. */
  name: string;
  type: string;
  attrs: string;
  parent: number;
  children: number[];
  params: Param[];
  /** Elements of its parameters and those of its children; a tied one counts once. */
  parameterCount: number;
}

export interface Graph {
  id: string;
  /** Why the pass ended early; empty if the model returned. */
  partial: string;
  /** False for the mere module tree. */
  traced: boolean;
  modules: Module[];
  calls: Call[];
  values: Value[];
  ops: Op[];
  inputs: number[];
  outputs: number[];
  /** What backward runs; null where none was looked at. */
  autograd: Autograd | null;
}

/** Reads the columns. Throws a RangeError where they do not fit together. */
export function graphOf(record: GraphRecord): Graph {
  const text = (i: number) => at(record.strings, i, "text");
  const paramShapes = shapes(record.param_ndim, record.param_sizes);
  const valueShapes = shapes(record.value_ndim, record.value_sizes);
  const values = Array.from(record.value_kind, (kind, id): Value => ({
    id, kind: at(VALUE_KINDS, kind, "value kind"), name: text(at(record.value_name, id, "value")), shape: at(valueShapes, id, "shape"),
    dtype: text(at(record.value_dtype, id, "value")), device: text(at(record.value_device, id, "value")),
    requiresGrad: at(record.value_requires_grad, id, "value") !== 0,
  }));
  const modules = Array.from(record.module_fqn, (fqn, id): Module => {
    const [path, type] = [text(fqn), text(at(record.module_type, id, "module"))];
    const parent = at(record.module_parent, id, "module");
    if (parent >= id) throw new RangeError(`module ${id} comes before its parent ${parent}`);
    return {
      id, fqn: path, name: path.slice(path.lastIndexOf(".") + 1) || type, type, attrs: text(at(record.module_attrs, id, "module")),
      parent, children: [], params: [], parameterCount: 0,
    };
  });
  for (const module of modules) if (module.parent >= 0) modules[module.parent]!.children.push(module.id);
  const paramNames = Array.from(record.param_name, text);
  paramNames.forEach((name, i) => {
    const tied = at(record.param_tied, i, "parameter");
    const param = {
      name, shape: at(paramShapes, i, "shape"), trainable: at(record.param_trainable, i, "parameter") !== 0,
      tiedTo: tied < 0 ? null : at(paramNames, tied, "parameter"),
    };
    const owner = at(modules, at(record.param_module, i, "parameter"), "module");
    owner.params.push(param);
    const elements = param.tiedTo === null ? param.shape.reduce((a, b) => a * b, 1) : 0;
    for (let up: Module | undefined = owner; up; up = modules[up.parent]) up.parameterCount += elements;
  });
  const callOutputs = rows(record.call_outputs_ptr, record.call_outputs, record.call_module.length, values.length);
  const calls = Array.from(record.call_module, (module, id): Call => {
    const parent = at(record.call_parent, id, "call");
    if (parent >= id) throw new RangeError(`call ${id} comes before its caller ${parent}`);
    return {
      id, module, fqn: at(modules, module, "module").fqn, call: at(record.call_index, id, "call"), parent,
      opaque: text(at(record.call_opaque, id, "call")), outputs: callOutputs[id]!,
    };
  });
  const n = record.op_name.length;
  const inputs = rows(record.op_inputs_ptr, record.op_inputs, n, values.length);
  const outputs = rows(record.op_outputs_ptr, record.op_outputs, n, values.length);
  const params = rows(record.op_params_ptr, record.op_params, n, paramNames.length);
  const ops = Array.from(record.op_name, (name, id): Op => {
    const flags = at(record.op_flags, id, "op");
    return {
      id, op: text(name), scope: at(calls, at(record.op_call, id, "op"), "call").id, inputs: inputs[id]!, outputs: outputs[id]!,
      params: params[id]!.map((p) => paramNames[p]!), attrs: attrsOf(text(at(record.op_attrs, id, "op"))),
      file: text(at(record.op_file, id, "op")), line: at(record.op_line, id, "op"), gradFn: text(at(record.op_grad_fn, id, "op")),
      opaque: text(at(record.op_opaque, id, "op")), inplace: (flags & INPLACE) !== 0, view: (flags & VIEW) !== 0,
      failed: (flags & FAILED) !== 0,
    };
  });
  const check = (list: ArrayLike<number>) => Array.from(list, (value) => at(values, value, "value").id);
  return {
    id: record.graph_id, partial: record.partial, traced: record.traced, modules, calls, values, ops,
    inputs: check(record.inputs), outputs: check(record.outputs), autograd: autogradOf(record, text, n),
  };
}

function at<T>(list: ArrayLike<T>, i: number, what: string): T {
  const item = list[i];
  if (item === undefined) throw new RangeError(`${what} ${i} of ${list.length}`);
  return item;
}

function shapes(ndims: Uint8Array, sizes: Float64Array): number[][] {
  let from = 0;
  const out = Array.from(ndims, (ndim) => Array.from(sizes.subarray(from, (from += ndim))));
  if (from !== sizes.length) throw new RangeError(`${sizes.length} sizes for ${from} dimensions`);
  return out;
}

/** CSR columns -> one list a row; `limit` bounds the items. */
function rows(pointers: Uint32Array, items: Uint32Array, count: number, limit: number): number[][] {
  if (pointers.length !== count + 1 || pointers[0] !== 0 || pointers[count] !== items.length) throw new RangeError("rows do not fit");
  return Array.from({ length: count }, (_, i) => {
    const [from, to] = [pointers[i]!, pointers[i + 1]!];
    if (to < from) throw new RangeError("rows overlap");
    const row = Array.from(items.subarray(from, to));
    if (row.some((item) => item >= limit)) throw new RangeError("row points outside");
    return row;
  });
}

function attrsOf(json: string): Record<string, unknown> {
  if (!json) return {};
  try {
    const attrs: unknown = JSON.parse(json);
    return typeof attrs === "object" && attrs !== null && !Array.isArray(attrs) ? (attrs as Record<string, unknown>) : {};
  } catch {
    return { attributes: json }; // Python also writes NaN and Infinity, which is no strict JSON: shown as it is
  }
}
