import type { ListQuery } from "./tasks"

/** The limit of the service, in characters. */
const LONGEST_SEARCH = 200

/** Which tasks are shown, and in which order. */
export type View = Required<Pick<ListQuery, "status" | "sort" | "q">>

/** Reads the view from the page's address, so that a reload, a bookmark and "back" work. */
export function viewOfAddress(): View {
  const query = new URLSearchParams(location.search)
  const status = query.get("status")
  return {
    status: status === "pending" || status === "completed" ? status : "all",
    sort: query.get("sort") === "title" ? "title" : "created",
    q: [...(query.get("q") ?? "")].slice(0, LONGEST_SEARCH).join("").trim(),
  }
}

/** Shows the view in the address. Letters that are added to a search are not a step to go back. */
export function keepView({ status, sort, q }: View): void {
  const query = new URLSearchParams()
  if (status !== "all") query.set("status", status)
  if (sort !== "created") query.set("sort", sort)
  if (q) query.set("q", q)
  const search = query.size ? `?${query}` : ""
  if (search === location.search) return
  const isTyping = q && viewOfAddress().q
  history[isTyping ? "replaceState" : "pushState"](null, "", location.pathname + search)
}
