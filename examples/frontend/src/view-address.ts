import type { View } from "./list"

/** Reads the view from the page's address, so that a reload and a bookmark keep it. */
export function viewOfAddress(): View {
  const query = new URLSearchParams(location.search)
  const status = query.get("status")
  return {
    status: status === "pending" || status === "completed" ? status : "all",
    sort: query.get("sort") === "title" ? "title" : "created",
    q: query.get("q") ?? "",
  }
}

export function keepView({ status, sort, q }: View): void {
  const query = new URLSearchParams()
  if (status !== "all") query.set("status", status)
  if (sort !== "created") query.set("sort", sort)
  if (q) query.set("q", q)
  history.replaceState(null, "", query.size ? `?${query}` : location.pathname)
}
