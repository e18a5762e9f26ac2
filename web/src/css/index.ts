import type { CSSResult } from "lit";
import { composer } from "./composer";
import { frame } from "./frame";
import { controls, tokens } from "./tokens";
import { prose, transcript } from "./transcript";

export const stylesOfChat: CSSResult[] = [tokens, controls, frame, transcript, prose, composer];
