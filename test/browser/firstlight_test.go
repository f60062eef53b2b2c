package browser

import (
	"encoding/base64"
	"strings"
	"testing"
)

// worldMail has text in Cyrillic, Chinese and Arabic, and two attachments.
const worldMail = `From: =?UTF-8?B?0JDQvdC90LA=?= <anna@elsewhere.example>
To: ann@eider.localhost
Subject: =?UTF-8?B?0J/RgNC40LLQtdGCLCDkvaDlpb0sINmF2LHYrdio2Kc=?=
Date: Tue, 24 Nov 2026 10:00:00 +0000
Message-ID: <world-1@elsewhere.example>
MIME-Version: 1.0
Content-Type: multipart/mixed; boundary="b1"

--b1
Content-Type: text/plain; charset=utf-8
Content-Transfer-Encoding: base64

WORLDTEXT
--b1
Content-Type: application/pdf; name="plan.pdf"
Content-Disposition: attachment; filename="plan.pdf"
Content-Transfer-Encoding: base64

JVBERi0xLjQKJeLjz9MK
--b1
Content-Type: image/png; name*=UTF-8''%D0%BA%D0%B0%D1%80%D1%82%D0%B0.png
Content-Disposition: attachment; filename*=UTF-8''%D0%BA%D0%B0%D1%80%D1%82%D0%B0.png
Content-Transfer-Encoding: base64

iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==
--b1--
`

const worldText = "Встречаемся в полдень у пристани.\n我们中午在码头见面。\nنلتقي ظهراً عند المرفأ.\n"

func world() string {
	return strings.Replace(worldMail, "WORLDTEXT", base64.StdEncoding.EncodeToString([]byte(worldText)), 1)
}

// TestFirstLight is the whole of Eider at its thinnest: two people register in
// the browser, mail from outside appears in an open tab, is read and answered,
// and the answer arrives in the other tab.
func TestFirstLight(t *testing.T) {
	s, browser := enter(t)
	ann := newTab(t, browser, "http://"+s.Web)
	ben := newTab(t, browser, "http://"+s.Web)
	ann.register("Ann Winter", "ann")
	ben.register("Ben Summer", "ben")

	ann.wait(`document.querySelector("#rows") && document.body.innerText.length > 0`)
	s.Deliver(t, "anna@elsewhere.example", "ann@eider.localhost", world())
	ann.wait(`document.querySelector("#rows li.row.unread")`)
	ann.wait(`document.querySelector("#rows li.row").innerText.includes("Привет, 你好, مرحبا")`)
	ann.wait(`document.querySelector("#rows li.row svg")`)

	ann.click("#rows li.row a")
	ann.wait(`document.querySelector("#reader article.msg")`)
	for _, line := range strings.Split(strings.TrimSpace(worldText), "\n") {
		ann.wait(`document.querySelector("#reader").innerText.includes(` + "`" + line + "`)")
	}
	ann.wait(`document.querySelector("#reader").innerText.includes("карта")`)
	ann.wait(`!document.querySelector("#rows li.row.unread")`)

	ann.click(`#reader a[data-answer=reply]`)
	ann.wait(`document.querySelector("#compose-form")`)
	ann.wait(`document.querySelector("#compose input[name=to]").value.includes("anna@elsewhere.example")`)
	// The answer goes to a second local user: the chip is taken off, another typed.
	ann.click(`#compose [data-recipients=to] .chip button`)
	ann.fill(`#compose [data-recipients=to] input[data-typing]`, "Ben Summer <ben@eider.localhost>,")
	ann.wait(`document.querySelector("#compose input[name=to]").value === "Ben Summer <ben@eider.localhost>"`)
	ann.fill("#compose-text", "Встретимся. See you there. 到时候见。")
	ann.click(`#compose-form button[value=send]`)
	ann.wait(`!document.querySelector("#compose-form") && document.querySelector("#toast").innerText.includes("sent")`)

	ben.wait(`document.querySelector("#rows li.row.unread")`)
	ben.click("#rows li.row a")
	ben.wait(`document.querySelector("#reader").innerText.includes("Встретимся. See you there. 到时候见。")`)
}
