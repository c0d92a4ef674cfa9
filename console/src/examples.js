// What the editor shows at first.

import neutral from "../examples/any.graphql";
import shop from "../examples/shop.graphql";

const shown = { shop, any: neutral };

export const example = shown[document.documentElement.dataset.examples] ?? neutral;
