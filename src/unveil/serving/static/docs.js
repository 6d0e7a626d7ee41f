/** Starts Swagger UI (a global of its own script) on this server's OpenAPI document. */

const isDark = matchMedia("(prefers-color-scheme: dark)");
const colour = () => document.documentElement.classList.toggle("dark-mode", isDark.matches);

colour();
isDark.addEventListener("change", colour);
globalThis.SwaggerUIBundle({
  url: "/openapi.json",
  dom_id: "#api",
  deepLinking: true,
  // Otherwise the document would be sent to a validator on another host.
  validatorUrl: null,
  persistAuthorization: false,
});
