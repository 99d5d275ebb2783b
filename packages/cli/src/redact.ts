/** Takes the credentials out of whatever may quote a URL: `//user:password@`, `?password=…`. */
export function redact(text: string): string {
  return text
    .replaceAll(/\/\/\S*@/g, "//…@")
    .replaceAll(/([?&](?:password|pass|pwd|secret|token|auth)[^=&\s]*=)[^&\s"']*/gi, "$1…");
}
