"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const { blocks, classes, images } = data;
  const MANY = 60; // classes: beyond, a list is no choice any more and one types a name
  const $ = (id) => document.getElementById(id);
  const coded = blocks.length > 0;
  const policies = data.exits.policies || {};
  const removal = "images" in data.removal ? data.removal : null;
  const branches = data.network.branches;

  // ---- numbers, as Python rounded them
  const thousandths = (n) => (n / 1000).toFixed(3);
  const tenths = (n) => (n / 10).toFixed(1);
  const hundredths = (n) => (n / 100).toFixed(2);
  const grouped = (n) => String(n).replace(/\B(?=(\d{3})+$)/g, ",");

  // ---- elements; text is only ever text
  const fill = (node, attributes, children) => {
    for (const [key, value] of Object.entries(attributes)) {
      if (key.startsWith("on")) node.addEventListener(key.slice(2), value);
      else if (value !== null && value !== false) node.setAttribute(key, value === true ? "" : value);
    }
    node.append(...children.filter((child) => child !== null && child !== undefined));
    return node;
  };
  const el = (tag, attributes = {}, ...children) => fill(document.createElement(tag), attributes, children);
  const svg = (tag, attributes = {}, ...children) =>
    fill(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes, children);
  const drawing = (width, height, label, ...children) =>
    svg("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": label }, ...children);
  const text = (x, y, content, attributes = {}) => svg("text", { x, y, ...attributes }, content);
  const table = (caption, head, rows) =>
    el("div", { class: "scroll tall", tabindex: "0", role: "region", "aria-label": caption }, el("table", {},
      el("caption", {}, caption),
      el("thead", {}, el("tr", {}, ...head.map((name) => el("th", { scope: "col" }, name)))),
      el("tbody", {}, ...rows.map((row) => el("tr", {}, ...row.map((value, i) =>
        el(i ? "td" : "th", i ? {} : { scope: "row" }, value)))))));

  // ---- state, all of it in the fragment
  const sum = (counts) => counts.reduce((total, count) => total + count, 0);
  const missed = () => { // the branch that is missed most
    const places = removal.without.flatMap((of, b) => of.map((counts, n) => [sum(counts), `${blocks[b]}:${n}`]));
    return places.reduce((least, place) => place[0] < least[0] ? place : least)[1];
  };
  const start = {
    image: Math.max(0, Object.values(data.first).find((i) => i !== null) ?? 0), block: blocks[0] || "",
    a: 0, b: 1, policy: policies.margin ? "margin" : Object.keys(policies)[0] || "", threshold: 0,
    remove: removal ? missed() : "", only: -1, exit: -1, wrong: 0, at: "",
  };
  let state = { ...start };
  const within = (value, low, high, otherwise) =>
    Number.isInteger(value) && value >= low && value <= high ? value : otherwise;
  let fragment = location.hash; // our own copy: a frame in a notebook may have no address to change
  const read = () => {
    const given = new URLSearchParams(fragment.slice(1));
    const number = (key, low, high) => within(given.has(key) ? Number(given.get(key)) : NaN, low, high, start[key]);
    const next = { ...start };
    next.image = number("image", 0, images.length - 1);
    next.block = blocks.includes(given.get("block")) ? given.get("block") : start.block;
    next.a = number("a", 0, classes.length - 1);
    next.b = number("b", -1, classes.length - 1);
    if (given.get("policy") in policies) next.policy = given.get("policy");
    next.threshold = number("threshold", 0, next.policy ? policies[next.policy].points.length - 1 : 0);
    const [block, branch] = (given.get("remove") || "").split(":");
    if (blocks.includes(block) && within(Number(branch), 0, branches - 1, -1) >= 0) next.remove = `${block}:${branch}`;
    next.only = number("only", -3, classes.length - 1);
    next.exit = number("exit", -1, blocks.length);
    next.wrong = number("wrong", 0, 1);
    next.at = given.get("at") || "";
    return next;
  };
  const remember = (next, how) => {
    fragment = next;
    try {
      history[how](null, "", fragment);
    } catch { /* such a frame keeps it to itself */ }
  };
  const write = () => {
    const parts = Object.keys(start).filter((key) => key !== "at" && state[key] !== start[key])
      .map((key) => `${key}=${encodeURIComponent(state[key]).replaceAll("%3A", ":")}`);
    if (state.at) parts.push(`at=${encodeURIComponent(state.at)}`);
    remember(`#${parts.join("&")}`, "replaceState");
  };
  const set = (changes) => {
    state = { ...state, ...changes };
    write();
    render();
  };

  // ---- one of several by Tab and arrows
  const roving = (group, pick) => group.addEventListener("keydown", (event) => {
    const items = [...group.querySelectorAll("[role=radio]")];
    const here = items.indexOf(document.activeElement);
    if (here < 0) return;
    const top = (item) => Math.round(item.getBoundingClientRect().top);
    const width = Math.max(1, items.filter((item) => top(item) === top(items[here])).length);
    const steps = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -width, ArrowDown: width, Home: -here, End: items.length - 1 - here };
    if (!(event.key in steps)) return;
    event.preventDefault();
    const to = items[Math.min(items.length - 1, Math.max(0, here + steps[event.key]))];
    pick(to.dataset.value);
    group.querySelector(`[data-value="${CSS.escape(to.dataset.value)}"]`).focus();
  });
  const refill = (group, ...children) => { // keeps the place of the reader: focus and scrolling
    const held = group.contains(document.activeElement) ? document.activeElement.dataset.value : undefined;
    const scrolled = group.scrollTop;
    group.replaceChildren(...children.filter(Boolean));
    group.scrollTop = scrolled;
    if (held !== undefined) group.querySelector(`[data-value="${CSS.escape(held)}"]`)?.focus();
  };

  // ---- a class: from a list, or typed where they are many
  const chooser = (id, label, value, more, pick) => {
    if (classes.length <= MANY) {
      const select = el("select", { id, onchange: (event) => pick(Number(event.target.value)) },
        ...more.map(([key, name]) => el("option", { value: key }, name)),
        ...classes.map((name, k) => el("option", { value: k }, name)));
      select.value = String(value);
      return el("label", {}, label, select);
    }
    const names = [...more.map(([, name]) => name), ...classes];
    const keys = [...more.map(([key]) => key), ...classes.keys()];
    const error = el("span", { class: "error", id: `${id}-error`, role: "status" });
    const input = el("input", {
      id, list: `${id}-names`, autocomplete: "off", "aria-describedby": `${id}-error`,
      onchange: (event) => {
        const found = names.indexOf(event.target.value.trim());
        error.textContent = found < 0 ? "No class has this name." : "";
        if (found >= 0) pick(keys[found]);
      },
    });
    input.value = names[keys.indexOf(value)];
    return el("label", {}, `${label} (type a part of its name)`, input,
      el("datalist", { id: `${id}-names` }, ...names.map((name) => el("option", { value: name }))), error);
  };

  // ---- images
  const what = (image) => image.label >= 0 ? classes[image.label] : image.folder ? `foreign (${image.folder})` : "class not said";
  const exitOf = (image) => image.exits[state.policy] ? image.exits[state.policy][state.threshold] : blocks.length;
  const answerOf = (image) => exitOf(image) < blocks.length ? image.nearest[exitOf(image)] : image.answer;
  const isWrong = (image) => image.label >= 0 && answerOf(image) !== image.label;
  const judged = (image, k) => image.label < 0 ? "" : k === image.label ? " ✓ right" : " ✗ wrong";
  const place = (i) => i < blocks.length ? blocks[i] : "the softmax";

  const FIRST = [
    ["easy", "Easy", "every block is right"], ["late", "Late", "decided at the end"],
    ["turned", "Wrong, then right", "the first block errs"], ["foreign", "Foreign", "of no class"],
  ];
  const ABSENT = { easy: "none is that easy", late: "none", turned: "none turned", foreign: "none was given" };
  const renderFirst = () => refill($("first"), ...FIRST.map(([kind, name, about]) => {
    const i = data.first[kind];
    return el("button", {
      type: "button", disabled: i === null, "data-value": kind, "aria-pressed": i === null ? null : String(state.image === i),
      onclick: () => set({ image: i, block: start.block }),
    }, i === null ? el("span", { class: "none" }) : el("img", { src: images[i].picture, alt: "" }),
    el("span", {}, el("strong", {}, name), el("br"), i === null ? `Not here: ${ABSENT[kind]}` : about));
  }));

  const visible = () => [...images.keys()].filter((i) => {
    const image = images[i];
    return (state.only === -1 || (state.only < 0 ? image.label === (state.only === -2 ? -1 : -2) : image.label === state.only))
      && (state.exit < 0 || exitOf(image) === state.exit) && (!state.wrong || isWrong(image));
  });
  const renderFilters = () => {
    const more = [[-1, "all"]];
    if (images.some((image) => image.label === -1)) more.push([-2, "foreign"]);
    if (images.some((image) => image.label === -2)) more.push([-3, "class not said"]);
    const exits = el("select", { id: "exit", onchange: (event) => set({ exit: Number(event.target.value) }) },
      el("option", { value: -1 }, "anywhere"), ...[...blocks.keys(), blocks.length].map((i) => el("option", { value: i }, place(i))));
    exits.value = String(state.exit);
    const wrong = el("input", { type: "checkbox", id: "wrong", onchange: (event) => set({ wrong: Number(event.target.checked) }) });
    wrong.checked = Boolean(state.wrong);
    keepFocus($("filters"), chooser("only", "Class", state.only, more, (only) => set({ only })),
      coded && data.exits.each ? el("label", {}, "Leaves at", exits) : null,
      el("label", { class: "beside" }, wrong, "wrong only"));
  };
  const keepFocus = (group, ...children) => {
    const id = group.contains(document.activeElement) ? document.activeElement.id : "";
    group.replaceChildren(...children.filter(Boolean));
    if (id) $(id)?.focus();
  };
  const renderThumbnails = () => {
    const shown = visible();
    $("filtered").textContent = `${shown.length} of ${images.length} images${state.threshold ? `, with the threshold chosen below` : ""}; × marks wrong answers`;
    const tab = shown.includes(state.image) ? state.image : shown[0];
    const drawn = shown.map((i) => `${i}${isWrong(images[i])}`).join();
    if (drawn !== thumbnailsDrawn) {
      thumbnailsDrawn = drawn;
      refill($("thumbnails"), ...shown.map((i) => el("button", {
        type: "button", role: "radio", "data-value": i, class: isWrong(images[i]) ? "cross" : null, title: what(images[i]),
        "aria-label": `Image ${i}: ${what(images[i])}${isWrong(images[i]) ? ", wrong" : ""}`, onclick: () => set({ image: i }),
      }, el("img", { src: images[i].picture, alt: "", loading: "lazy", decoding: "async" }))));
    }
    $("thumbnails").querySelectorAll("[role=radio]").forEach((button) => {
      const i = Number(button.dataset.value);
      button.setAttribute("aria-checked", String(i === state.image));
      button.tabIndex = i === tab ? 0 : -1;
    });
  };
  let thumbnailsDrawn = null; // two hundred pictures are not drawn again at every step

  const word = (b, k) => data.schemes[data.scheme_of[b]][k];
  const bars = (image, b) => {
    const slot = branches <= 12 ? 34 : 14, height = 66, top = 8, width = branches * slot;
    const energies = image.energies[b], highest = Math.max(1250, ...image.energies.flat());
    const y = (e) => top + height * (1 - e / highest);
    const nearest = word(b, image.nearest[b]), truth = image.label >= 0 ? word(b, image.label) : null;
    const parts = [svg("line", { class: "level", x1: 0, x2: width, y1: y(1000), y2: y(1000) })];
    energies.forEach((e, n) => {
      const x = n * slot;
      if (nearest[n] === "1") parts.push(svg("rect", { class: "slot", x: x + slot * .06, y: y(1000), width: slot * .88, height: y(0) - y(1000), rx: 3 }));
      parts.push(svg("rect", { class: nearest[n] === "1" ? "bar" : "stray", x: x + slot * .27, y: y(e), width: slot * .46, height: Math.max(.8, y(0) - y(e)), rx: 1.5 },
        svg("title", {}, `branch ${n + 1}: ${thousandths(e)}`)));
      if (branches <= 12 || n % 4 === 0) parts.push(text(x + slot / 2, top + height + 12, n + 1, { "text-anchor": "middle" }));
      if (truth && truth[n] === "1") parts.push(svg("circle", { class: "dot", cx: x + slot / 2, cy: top + height + 19, r: 2.2 }));
    });
    parts.push(svg("line", { class: "axis", x1: 0, x2: width, y1: y(0), y2: y(0) }));
    const label = `${blocks[b]}: energies of the branches ${energies.map((e, n) => `${n + 1} ${thousandths(e)}`).join(", ")}; codeword of ${classes[image.nearest[b]]} ${nearest}`;
    return drawing(width, top + height + 24, label, ...parts);
  };
  const key = (name, shape) => el("li", {}, svg("svg", { viewBox: "0 0 16 16", "aria-hidden": "true" }, shape), name);
  const renderLegend = () => coded && $("legend").replaceChildren(
    key("energy of a branch in the nearest codeword", svg("rect", { class: "bar", x: 4, y: 2, width: 8, height: 13, rx: 1.5 })),
    key("of a branch outside it", svg("rect", { class: "stray", x: 4, y: 7, width: 8, height: 8, rx: 1.5 })),
    key("the nearest codeword, at energy 1", svg("rect", { class: "slot", x: 1, y: 1, width: 14, height: 14, rx: 3 })),
    key("branches of the true class", svg("circle", { class: "dot", cx: 8, cy: 8, r: 2.6 })));

  const renderImage = () => {
    const image = images[state.image], left = exitOf(image);
    $("picture").src = image.picture;
    $("picture").alt = `Image ${state.image}, ${what(image)}`;
    const answer = answerOf(image);
    $("what").replaceChildren(el("strong", {}, `Image ${state.image}: ${what(image)}. `),
      left < blocks.length
        ? `It leaves at ${blocks[left]} as ${classes[answer]}${judged(image, answer)}, after ${tenths(data.spent[left])}\u00a0% of the multiply-adds.`
        : `The softmax answers ${classes[answer]} (${tenths(image.confidence)}\u00a0%)${judged(image, answer)}.`);
    const current = blocks.indexOf(state.block);
    for (const id of ["previous-block", "next-block", "save-energies"]) $(id).hidden = !coded;
    $("previous-block").disabled = current <= 0;
    $("next-block").disabled = current >= blocks.length - 1;
    if (!coded) {
      $("blocks").removeAttribute("role");
      $("blocks").replaceChildren(el("p", { class: "note" }, "A plain network has no codewords: there are no energies to compare with them, and no block answers before the softmax."));
      return;
    }
    refill($("blocks"), ...blocks.map((name, b) => {
      const later = b > left;
      const k = image.nearest[b];
      const drawn = bars(image, b);
      const more = el("span", { class: "more" },
        `${thousandths(image.distance[b])} from its codeword; next ${classes[image.second[b]]}, ${thousandths(image.second_distance[b])}; margin ${thousandths(image.margin[b])}. ${tenths(data.spent[b])}\u00a0% spent.`);
      const verdict = later
        ? el("span", { class: "verdict" }, `not computed: the image left at ${blocks[left]}`)
        : el("span", { class: "verdict" }, el("strong", {}, classes[k]), judged(image, k));
      const button = el("button", {
        type: "button", role: "radio", "aria-checked": String(name === state.block), tabindex: name === state.block ? "0" : "-1",
        class: later ? "block later" : "block", "data-value": name, onclick: () => set({ block: name }),
        "aria-label": `${name}: ${later ? "not computed, the image left before" : `${classes[k]}${judged(image, k)}, margin ${thousandths(image.margin[b])}, ${tenths(data.spent[b])}\u00a0% spent`}`,
      }, el("span", { class: "bars" }, later ? emptied(drawn, name) : drawn),
      el("span", { class: "said" }, el("span", { class: "name" }, name), verdict, later ? null : more, later ? null : meter(data.spent[b])));
      return button;
    }), el("p", { class: "small" }, left < blocks.length ? "softmax: not computed" :
      `softmax: ${classes[image.answer]}, ${tenths(image.confidence)}\u00a0%${judged(image, image.answer)}; ${tenths(data.spent[blocks.length])}\u00a0% spent, decoding at every block included`),
    energiesNow(image, current));
  };
  const meter = (share) => svg("svg", { class: "meter", viewBox: "0 0 1000 10", preserveAspectRatio: "none", "aria-hidden": "true" },
    svg("rect", { class: "all", width: 1000, height: 10 }), svg("rect", { class: "used", width: share, height: 10 }));
  const emptied = (drawn, name) => { // what was not computed is not shown either
    drawn.querySelectorAll(".bar, .stray, .slot, .dot").forEach((part) => part.remove());
    drawn.setAttribute("aria-label", `${name}: not computed`);
    return drawn;
  };
  const energiesNow = (image, b) => exitOf(image) < b ? null : el("details", { id: "energies-now", open: detailsOpen, ontoggle: (event) => { detailsOpen = event.target.open; } },
    el("summary", {}, `Energies of ${blocks[b]} as a table`),
    table(`Energies of ${blocks[b]}`, ["branch", "energy", `codeword of ${classes[image.nearest[b]]}`, `codeword of ${classes[image.second[b]]}`],
      image.energies[b].map((e, n) => [String(n + 1), thousandths(e), word(b, image.nearest[b])[n], word(b, image.second[b])[n]])));
  let detailsOpen = false;

  // ---- classes
  const union = (chosen) => {
    const kept = blocks.map((_, b) => [...word(b, chosen[0])].filter((_, n) => chosen.some((k) => word(b, k)[n] === "1")).length);
    return { kept, sizes: [0, 1].map((i) => data.sizes.fixed[i] + chosen.length * data.sizes.class[i]
      + kept.reduce((sum, count, b) => sum + count * data.sizes.branch[b][i], 0)) };
  };
  const renderClasses = () => {
    if (!coded) {
      $("choose-classes").replaceChildren();
      $("paths").replaceChildren();
      $("paths-text").replaceChildren(el("p", { class: "note" }, "A plain network assigns no branch to a class: there are no paths."));
      return;
    }
    const { a, b } = state, two = b >= 0 && b !== a;
    keepFocus($("choose-classes"), chooser("class-a", "Class", a, [], (k) => set({ a: k })),
      chooser("class-b", "and", b, [[-1, "no other"]], (k) => set({ b: k })),
      el("button", { type: "button", id: "save-paths", onclick: () => save("paths", [[two ? `${classes[a]} and ${classes[b]}` : classes[a], $("paths").querySelector("svg")]]) }, "Save as SVG"));
    const side = 24, left = 58, width = left + branches * side, height = blocks.length * side + 18;
    const parts = [];
    blocks.forEach((name, row) => {
      parts.push(text(0, row * side + 16, name));
      for (let n = 0; n < branches; n++) {
        const x = left + n * side + 2, y = row * side + 2, s = side - 4;
        const inA = word(row, a)[n] === "1", inB = two && word(row, b)[n] === "1";
        parts.push(svg("rect", { class: "cell", x, y, width: s, height: s, rx: 2 }));
        if (inA && (inB || !two)) parts.push(svg("rect", { class: "bar", x, y, width: s, height: s, rx: 2 }));
        else if (inA) parts.push(svg("path", { class: "bar", d: `M${x} ${y}h${s}l${-s} ${s}z` }));
        else if (inB) parts.push(svg("path", { class: "dot", d: `M${x + s} ${y + s}h${-s}l${s} ${-s}z` }));
      }
    });
    for (let n = 0; n < branches; n++) parts.push(text(left + n * side + side / 2, height - 4, n + 1, { "text-anchor": "middle" }));
    const shared = blocks.map((_, row) => two ? [...word(row, a)].filter((bit, n) => bit === "1" && word(row, b)[n] === "1").length : null);
    const label = two ? `Branches of ${classes[a]} and of ${classes[b]}; they share ${shared.join(", ")} in ${blocks.join(", ")}` : `Branches of ${classes[a]} in ${blocks.join(", ")}`;
    $("paths").replaceChildren(el("div", branches > 12 ? { class: "scroll", tabindex: "0", role: "region", "aria-label": "Paths" } : {}, wide(drawing(width, height, label, ...parts), width)),
      el("ul", { class: "legend" }, ...(two ? [
        key(`${classes[a]} only`, svg("path", { class: "bar", d: "M1 1h14l-14 14z" })), key(`${classes[b]} only`, svg("path", { class: "dot", d: "M15 15h-14l14 -14z" })),
        key("both", svg("rect", { class: "bar", x: 1, y: 1, width: 14, height: 14 })), key("neither", svg("rect", { class: "cell", x: 1, y: 1, width: 14, height: 14 })),
      ] : [key(classes[a], svg("rect", { class: "bar", x: 1, y: 1, width: 14, height: 14 }))])));
    const whole = [data.network.parameters, data.network.multiply_adds];
    const asked = two ? [[classes[a], [a]], [classes[b], [b]], ["both together", [a, b]]] : [[classes[a], [a]]];
    const size = ([name, chosen]) => {
      const { sizes } = union(chosen);
      return [name, ...sizes.flatMap((n, i) => [grouped(n), `${(100 * n / whole[i]).toFixed(1)}\u00a0%`])];
    };
    $("paths-text").replaceChildren(
      table("What is left when everything else is cut off", ["paths of", "parameters", "of all", "multiply-adds", "of all"], asked.map(size)),
      two ? table("Branches", ["block", classes[a], classes[b], "shared", "together"], blocks.map((name, row) =>
        [name, ...[word(row, a), word(row, b)].map((w) => String([...w].filter((bit) => bit === "1").length)), String(shared[row]), String(union([a, b]).kept[row])]))
        : el("p", { class: "small" }, "Choose another class to see what the two share."));
  };
  const wide = (drawn, width) => {
    if (branches > 12) drawn.style.minWidth = `${width}px`;
    return drawn;
  };

  // ---- thresholds
  const NAMED = {
    margin: "margin between the two nearest codewords", distance: "distance of the nearest codeword",
    entropy: "entropy over the codewords", patience: "equal answers in a row", posterior: "all blocks so far together",
  };
  const renderThreshold = () => {
    const body = $("threshold-body");
    if (!state.policy) {
      body.replaceChildren(el("p", { class: "note" }, `There is no slider here. ${data.exits.why}`));
      return;
    }
    const { points, curve } = policies[state.policy], point = points[state.threshold];
    if (!body.firstChild) {
      body.append(el("div", { class: "controls" },
        el("label", {}, "Sure enough by", el("select", { id: "policy", onchange: (event) => set({ policy: event.target.value, threshold: 0 }) },
          ...Object.keys(policies).map((name) => el("option", { value: name }, NAMED[name] || name)))),
        el("label", {}, "From nobody leaves early (left) to as cheap as was calibrated (right)",
          el("input", { type: "range", id: "slider", min: 0, step: 1, oninput: (event) => set({ threshold: Number(event.target.value) }) })),
        el("button", { type: "button", onclick: () => save("stopping-early", [["accuracy against cost", $("tradeoff").querySelector("svg")], ["where images leave", $("leaving").querySelector("svg")]]) }, "Save as SVG")),
        el("output", { id: "tradeoff-text", for: "slider" }), el("div", { class: "columns even" }, el("figure", { id: "tradeoff" }), el("figure", { id: "leaving" })), el("div", { id: "thresholds" }));
    }
    $("policy").value = state.policy;
    $("slider").max = points.length - 1;
    $("slider").value = state.threshold;
    const said = `${hundredths(point.accuracy)}\u00a0% right at ${hundredths(point.multiply_adds)}\u00a0% of the multiply-adds`;
    $("slider").setAttribute("aria-valuetext", said);
    const lost = points[0].accuracy - point.accuracy;
    $("tradeoff-text").replaceChildren(el("strong", {}, said), state.threshold ? `: ${hundredths(10000 - point.multiply_adds)}\u00a0% saved for ${hundredths(lost)} points of accuracy, on ${grouped(data.exits.images)} test images.` : `: every image runs through the whole network; ${grouped(data.exits.images)} test images.`);
    const all = [...curve.map(([cost, right]) => [cost / 10, right / 10]), ...points.map((p) => [p.multiply_adds / 100, p.accuracy / 100])];
    const low = Math.floor(Math.min(...all.map(([cost]) => cost)) / 10) * 10, bottom = Math.floor(Math.min(...all.map(([, right]) => right)));
    const high = Math.ceil(Math.max(...all.map(([, right]) => right)));
    const x = (cost) => 40 + 290 * (cost - low) / (102 - low), y = (right) => 180 - 165 * (right - bottom) / (high - bottom || 1);
    const ticks = [];
    const step = Math.max(1, Math.ceil((high - bottom) / 5));
    for (let right = bottom; right <= high; right += step) ticks.push(svg("line", { class: "axis", x1: 40, x2: 335, y1: y(right), y2: y(right) }), text(34, y(right) + 3.5, right, { "text-anchor": "end" }));
    for (let cost = low; cost <= 100; cost += low < 50 ? 20 : 10) ticks.push(text(x(cost), 196, cost, { "text-anchor": "middle" }));
    $("tradeoff").replaceChildren(drawing(340, 214, `Accuracy against multiply-adds; chosen: ${said}`, ...ticks,
      svg("polyline", { class: "curve", points: curve.map(([cost, right]) => `${x(cost / 10)},${y(right / 10)}`).join(" ") }),
      ...points.map((p, i) => svg("circle", { class: i === state.threshold ? "point on" : "point", cx: x(p.multiply_adds / 100), cy: y(p.accuracy / 100), r: i === state.threshold ? 6 : 3.5 })),
      text(188, 211, "multiply-adds, %", { "text-anchor": "middle" }), text(0, 8, "right, %")));
    const row = 24, names = [...blocks, "softmax"], most = Math.max(...point.exits);
    $("leaving").replaceChildren(drawing(340, names.length * row + 20, `Where images leave: ${names.map((name, i) => `${name} ${tenths(point.exits[i])}\u00a0%`).join(", ")}`,
      text(0, 8, "leave at, % of the images"), ...names.flatMap((name, i) => {
        const top = 18 + i * row, length = 220 * point.exits[i] / most;
        return [text(0, top + 12, name), svg("rect", { class: "bar", x: 62, y: top + 2, width: Math.max(.6, length), height: 13, rx: 2 }),
          text(68 + length, top + 12, tenths(point.exits[i]), { class: "strong" })];
      })));
    $("thresholds").replaceChildren(data.exits.each
      ? el("p", { class: "small" }, Object.keys(point.thresholds).length ? `Thresholds: ${Object.entries(point.thresholds).map(([name, t]) => `${name} ${thousandths(t)}`).join(", ")}. The images above leave where these say; what they never reach is greyed.` : "No block is an exit.")
      : el("p", { class: "small" }, "These weights have no calibration of their own, so where a single image leaves is not shown."));
  };

  // ---- confusions
  const blockSelect = (id) => {
    const select = el("select", { id, onchange: (event) => set({ block: event.target.value }) }, ...blocks.map((name) => el("option", { value: name }, name)));
    select.value = state.block;
    return el("label", {}, "Block", select);
  };
  const renderConfusions = () => {
    const body = $("confusions-body");
    if (!data.confusions) {
      body.replaceChildren(el("p", { class: "note" }, coded ? "None of these images is of a class of the network: nothing can be confused." : "A plain network answers at its end only."));
      return;
    }
    const of = data.confusions.blocks[blocks.indexOf(state.block)];
    const rates = of.by_distance.map(([distance, pairs, count]) => [distance, pairs, count, count / pairs]);
    const few = (rate) => rate === 0 || rate >= .1 ? rate.toFixed(2) : rate.toPrecision(2);
    const most = Math.max(...rates.map((rate) => rate[3]), 1e-9), row = 26;
    const figure = drawing(340, rates.length * row + 20, `Images confused per pair of classes, by distance of the codewords: ${rates.map(([d, , , rate]) => `${d}: ${few(rate)}`).join(", ")}`,
      text(0, 8, "distance: images confused per pair of classes"), ...rates.flatMap(([distance, , , rate], i) => {
        const top = 18 + i * row, length = 230 * rate / most;
        return [text(0, top + 13, distance, { class: "strong" }), svg("rect", { class: "bar", x: 28, y: top + 2, width: Math.max(.6, length), height: 14, rx: 2 }), text(34 + length, top + 13, few(rate))];
      }));
    const shown = el("div", { class: "controls" }, blockSelect("confusions-block"), el("button", { type: "button", id: "save-confusions", onclick: () => save("confusions", [[state.block, figure]]) }, "Save as SVG"));
    keepFocus(body, shown, el("p", { class: "said-now", role: "status" }, el("strong", {}, `${state.block}: ${grouped(of.wrong)} of ${grouped(data.confusions.images)} images wrong`), ` (${tenths(data.right.blocks[blocks.indexOf(state.block)])}\u00a0% right).`),
      el("div", { class: "columns even" }, table("The most frequent confusions", ["is", "taken for", "images", "distance"],
        of.pairs.map(([k, other, count, distance]) => [classes[k], classes[other], String(count), String(distance)])),
      el("div", {}, el("figure", {}, figure), table("By distance", ["distance of codewords", "pairs of classes", "images confused", "per pair"],
        rates.map(([d, pairs, count, rate]) => [String(d), String(pairs), String(count), few(rate)])))));
  };

  // ---- a branch less
  const renderRemoval = () => {
    const body = $("removal-body");
    if (!removal) {
      body.replaceChildren(el("p", { class: "note" }, data.removal.why));
      return;
    }
    if (!body.firstChild) {
      body.append(el("div", { id: "branches", role: "radiogroup", "aria-label": "The branch to take away" }), el("div", { id: "removal-text" }));
      roving($("branches"), (remove) => set({ remove }));
    }
    refill($("branches"), ...blocks.map((name) => el("div", { class: "row" }, el("span", {}, name), el("span", {}, ...Array.from({ length: branches }, (_, n) => {
      const value = `${name}:${n}`;
      return el("button", { type: "button", role: "radio", class: "branch", "aria-checked": String(value === state.remove), tabindex: value === state.remove ? "0" : "-1",
        "data-value": value, "aria-label": `${name}, branch ${n + 1}`, onclick: () => set({ remove: value }) }, String(n + 1));
    })))));
    const [name, branch] = state.remove.split(":"), b = blocks.indexOf(name), n = Number(branch);
    const without = removal.without[b][n];
    let rows = classes.map((label, k) => ({ label, has: word(b, k)[n] === "1", each: removal.each[k], before: removal.whole[k], after: without[k] })).filter((row) => row.each);
    rows.sort((p, q) => (p.after - p.before) / p.each - (q.after - q.before) / q.each);
    const cut = rows.length > MANY ? rows.length - MANY : 0;
    if (cut) rows = rows.slice(0, MANY);
    const percent = (count, of) => `${(100 * count / of).toFixed(1)}\u00a0%`;
    const points = (row) => (100 * (row.after - row.before) / row.each).toFixed(1).replace("-", "\u2212");
    const largest = Math.max(...rows.map((row) => Math.abs(row.after - row.before) / row.each), .01);
    const change = (row) => {
      const width = 50 * (row.after - row.before) / row.each / largest;
      return svg("svg", { viewBox: "0 0 104 16", "aria-hidden": "true" }, svg("line", { class: "level", x1: 52, x2: 52, y1: 0, y2: 16 }),
        svg("rect", { class: width < 0 ? "bar" : "gain", x: Math.min(52, 52 + width), y: 3, width: Math.abs(width), height: 10 }));
    };
    const drawn = drawing(340, rows.length * 22 + 20, `Change of each class without ${name}, branch ${n + 1}`, text(0, 8, "points of accuracy lost (filled) or gained (outlined)"), ...rows.flatMap((row, i) => {
      const top = 18 + i * 22, width = 90 * (row.after - row.before) / row.each / largest;
      return [text(0, top + 11, row.label.slice(0, 18)), svg("rect", { class: width < 0 ? "bar" : "gain", x: Math.min(230, 230 + width), y: top + 2, width: Math.abs(width), height: 11 }), text(336, top + 11, points(row), { "text-anchor": "end" })];
    }));
    keepFocus($("removal-text"), el("p", { class: "said-now", role: "status" }, el("strong", {}, `Without branch ${n + 1} of ${name}: ${percent(sum(without), removal.images)} right`),
      `, ${percent(sum(removal.whole), removal.images)} with all. The branch works for ${classes.filter((label, k) => word(b, k)[n] === "1").join(", ") || "no class"}.`),
    table(`Classes without branch ${n + 1} of ${name}${cut ? `, the ${MANY} that lose most of ${MANY + cut}` : ""}; ${removal.images} images`, ["class", "the branch", "images", "right with it", "without it", "change, points", "drawn"],
      rows.map((row) => [row.label, row.has ? "in its codeword" : "not in it", String(row.each), String(row.before), String(row.after), points(row), change(row)])),
    el("p", {}, el("button", { type: "button", id: "save-removal", onclick: () => save("without-a-branch", [[`without branch ${n + 1} of ${name}`, drawn]]) }, "Save as SVG")));
  };

  // ---- a drawing as a file, with its look written into it
  const LOOK = ["fill", "stroke", "stroke-width", "stroke-dasharray", "font-size", "font-weight", "font-family", "text-anchor"];
  const save = (name, titled) => {
    const gap = 26;
    let height = 12, width = 0;
    const copies = titled.map(([title, drawn]) => {
      const attached = drawn.isConnected;
      if (!attached) document.body.append(drawn);
      const copy = drawn.cloneNode(true), parts = [...drawn.querySelectorAll("*")];
      [...copy.querySelectorAll("*")].forEach((part, i) => {
        const look = getComputedStyle(parts[i]);
        part.removeAttribute("class");
        if (part.tagName !== "title") LOOK.forEach((property) => part.setAttribute(property, look.getPropertyValue(property)));
      });
      if (!attached) drawn.remove();
      const [, , w, h] = drawn.getAttribute("viewBox").split(" ").map(Number);
      const group = svg("g", { transform: `translate(12 ${height + gap - 8})` }, ...copy.childNodes);
      const heading = text(12, height + 10, title, { fill: getComputedStyle(document.body).color, "font-size": 12, "font-weight": 600, "font-family": "sans-serif" });
      height += h + gap;
      width = Math.max(width, w);
      return [heading, group];
    });
    const whole = svg("svg", { xmlns: "http://www.w3.org/2000/svg", viewBox: `0 0 ${width + 24} ${height + 8}`, width: width + 24, height: height + 8 },
      svg("rect", { width: "100%", height: "100%", fill: getComputedStyle(document.body).backgroundColor }), ...copies.flat());
    const url = URL.createObjectURL(new Blob([new XMLSerializer().serializeToString(whole)], { type: "image/svg+xml" }));
    el("a", { href: url, download: `${name}.svg` }).click();
    setTimeout(() => URL.revokeObjectURL(url), 1000);
  };

  const render = () => [renderFirst, renderFilters, renderThumbnails, renderLegend, renderImage, renderClasses, renderThreshold, renderConfusions, renderRemoval].forEach((draw) => draw());
  const step = (by) => {
    const to = blocks.indexOf(state.block) + by;
    if (to < 0 || to >= blocks.length) return;
    set({ block: blocks[to] });
  };
  const go = () => {
    state = read();
    render();
    const target = $(`${state.at}-title`);
    if (target) {
      target.scrollIntoView();
      target.focus({ preventScroll: true });
    }
  };

  document.querySelectorAll(".drawn").forEach((part) => { part.hidden = false; });
  // a link says where to go and what to change; what it does not name stays
  document.addEventListener("click", (event) => {
    const link = event.target.closest?.("a[href^='#']");
    if (!link) return;
    event.preventDefault();
    const href = link.getAttribute("href").slice(1); // a link to a title, or one that says more
    const wanted = new URLSearchParams(href.includes("=") ? href : `at=${href.replace("-title", "")}`), now = new URLSearchParams(fragment.slice(1));
    for (const [name, value] of wanted) now.set(name, value);
    remember(`#${now.toString().replaceAll("%3A", ":")}`, "pushState");
    go();
  });
  const follow = () => {
    if (fragment === location.hash) return; // one step back tells twice
    fragment = location.hash;
    go();
  };
  addEventListener("hashchange", follow);
  addEventListener("popstate", follow);
  $("next-block").addEventListener("click", () => step(1));
  $("previous-block").addEventListener("click", () => step(-1));
  $("save-energies").addEventListener("click", () => save(`image-${state.image}`, [...$("blocks").querySelectorAll(".bars svg")].map((drawn, b) => [blocks[b], drawn])));
  roving($("thumbnails"), (i) => set({ image: Number(i) }));
  if (coded) roving($("blocks"), (block) => set({ block }));
  go();
})();
