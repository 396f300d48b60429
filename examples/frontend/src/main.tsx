import { createRoot } from "react-dom/client"
import { App } from "./App"
import { check } from "./session"

createRoot(document.getElementById("root")!).render(<App />)
void check()
