/** Widths without a browser: an average letter of a system font. */
export const measure = (text: string, strong: boolean) => text.length * (strong ? 7 : 6);
