package browser

import "testing"

// TestSearch looks for mail from the box in the head, with script and without.
func TestSearch(t *testing.T) {
	t.Parallel()
	p := sit(t, "finder")
	for _, subject := range []string{"Harbour plan", "Crème brûlée", "北京大学"} {
		p.post(subject)
	}
	p.wait(`document.querySelectorAll("#rows li.row").length === 3`)
	p.fill("header .search input[name=q]", "creme OR 大学")
	p.run(`document.querySelector("header .search").requestSubmit()`)
	p.wait(`location.pathname === "/search" && document.querySelectorAll("#rows li.row").length === 2`)
	p.wait(`[...document.querySelectorAll("#rows mark")].some(e => e.innerText === "Crème")`)
	p.wait(`document.querySelector("#list .search input[name=q]").value === "creme OR 大学"`)
	p.click("#rows li.row a")
	p.wait(`document.querySelector("#reader article.msg")`)

	// A folder alone, and nothing found in it.
	p.open("/search?q=harbour&box=" + p.box("Trash"))
	p.wait(`document.querySelectorAll("#rows li.row").length === 1`)
	p.click("#list .find .chips a:not([aria-current])")
	p.wait(`document.querySelector("#rows.empty") && location.search.includes("in=")`)

	p.noScript()
	p.open("/search")
	p.fill("#list .search input[name=q]", `subject:harb* -brulee`)
	p.click("#list .search button")
	p.wait(`document.querySelectorAll("#rows li.row").length === 1 && document.querySelector("#rows mark").textContent === "Harbour"`)
	p.click("#rows li.row button.star")
	p.wait(`location.pathname === "/search" && document.querySelector("#rows li.row button.star[aria-pressed=true]")`)
}
