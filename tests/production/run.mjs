// Runs models with onnxruntime-web, the library of browsers: the cases of a JSON file, each with raw arrays beside it.
import { readFileSync, writeFileSync } from "node:fs";
import * as ort from "onnxruntime-web";

const arrays = { uint8: Uint8Array, float32: Float32Array, int64: BigInt64Array };
for (const { model, feeds, result } of JSON.parse(readFileSync(process.argv[2]))) {
  const session = await ort.InferenceSession.create(model);
  const tensors = feeds.map(({ name, type, dims, file }) => {
    const bytes = readFileSync(file);
    const values = new arrays[type](bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length));
    return [name, new ort.Tensor(type, values, dims)];
  });
  const { data } = (await session.run(Object.fromEntries(tensors))).translation;
  writeFileSync(result, new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
}
