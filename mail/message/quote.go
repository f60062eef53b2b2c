package message

import (
	"regexp"
	"strings"
)

// Reply is a text divided into what the sender wrote and what others had
// written before.
type Reply struct {
	// Own is the sender's text, Signature what follows "-- " (RFC 3676 4.3).
	Own, Signature string
	// Attribution is the line above the quote ("On Monday Ann wrote:"), Quote the
	// quote with its marks. Both are "" when nothing is quoted, or when answers
	// stand between quotes: then all is Own.
	Attribution, Quote string
}

// maxQuoteLines is how many lines are looked at, maxAttribution how long the
// line above a quote may be.
const (
	maxQuoteLines    = 5000
	maxAttribution   = 600
	attributionLines = 3
)

// SplitReply finds the quoted message at the end of a text. A quote that is
// followed by text of the sender's own stays with it.
func SplitReply(text string) Reply {
	lines := strings.SplitAfter(text, "\n")
	if len(lines) > maxQuoteLines {
		return Reply{Own: strings.TrimSpace(text)}
	}
	at := quoteStart(lines)
	own := lines[:at]
	var r Reply
	if at < len(lines) {
		from := attributionStart(own)
		r.Attribution = collapse(strings.Join(own[from:], ""))
		r.Quote = strings.TrimRight(strings.Join(lines[at:], ""), "\r\n ")
		own = own[:from]
	}
	for i := len(own) - 1; i >= 0; i-- {
		if line := strings.TrimRight(own[i], "\r\n"); line == "-- " || line == "--" && i > 0 {
			r.Signature = strings.TrimSpace(strings.Join(own[i+1:], ""))
			own = own[:i]
			break
		}
	}
	r.Own = strings.TrimSpace(strings.Join(own, ""))
	return r
}

// quoteStart is the line at which the last quote begins, if nothing of the
// sender's own comes after it; len(lines) when there is none.
func quoteStart(lines []string) int {
	for i, line := range lines {
		if isSeparator(line) || isHeaderBlock(lines[i:]) {
			return i
		}
	}
	at := len(lines)
	for at > 0 {
		line := strings.TrimSpace(lines[at-1])
		if line != "" && line[0] != '>' {
			break
		}
		at--
	}
	// Blank lines before the quote are not part of it.
	for at < len(lines) && strings.TrimSpace(lines[at]) == "" {
		at++
	}
	return at
}

var separator = regexp.MustCompile(`^\s*(?:-{3,}|_{3,})\s*(?:[Oo]riginal [Mm]essage|[Oo]riginal [Aa]ppointment|[Ff]orwarded [Mm]essage|Ursprüngliche Nachricht|Weitergeleitete Nachricht|` +
	`Message d'origine|Message transféré|Mensaje original|Mensaje reenviado|Messaggio originale|Messaggio inoltrato|Oorspronkelijk bericht|Mensagem original|` +
	`Исходное сообщение|Пересылаемое сообщение|Оригінальне повідомлення|Původní zpráva|Wiadomość oryginalna|Oprindelig meddelelse|Alkuperäinen viesti|` +
	`元のメッセージ|原始邮件|原始郵件|원본 메시지|الرسالة الأصلية|הודעה מקורית)\s*(?:-{3,}|_{3,})\s*$`)

// isSeparator: the line that mail programs put above a message they quote
// whole.
func isSeparator(line string) bool {
	line = strings.TrimRight(line, "\r\n")
	if len(line) > 200 || !strings.HasPrefix(strings.TrimLeft(line, " \t"), "---") && !strings.HasPrefix(strings.TrimLeft(line, " \t"), "___") {
		return false
	}
	return separator.MatchString(line)
}

// headerWords begin the first two lines of a header that Outlook puts above a
// quote, in the languages it is used in.
var headerWords = []string{
	"from:", "sent:", "to:", "date:", "von:", "gesendet:", "de :", "de:", "envoyé :", "envoyé:", "enviado:", "enviado el:", "da:", "inviato:", "van:", "verzonden:",
	"от:", "отправлено:", "дата:", "від:", "надіслано:", "od:", "wysłane:", "fra:", "sendt:", "från:", "skickat:", "lähettäjä:", "差出人:", "送信日時:", "发件人:", "发送时间:", "寄件者:", "보낸 사람:",
	"من:", "تم الإرسال:", "מאת:", "נשלח:",
}

// isHeaderBlock: at least three lines of a quoted header follow each other.
func isHeaderBlock(lines []string) bool {
	for i := range 2 {
		if i >= len(lines) || !hasHeaderWord(lines[i]) {
			return false
		}
	}
	return len(lines) > 2 && strings.Contains(lines[2], ":")
}

func hasHeaderWord(line string) bool {
	line = strings.Trim(strings.TrimSpace(line), "*")
	if len(line) > 500 || strings.IndexByte(line, ':') < 0 {
		return false
	}
	line = strings.ToLower(line)
	for _, word := range headerWords {
		if strings.HasPrefix(line, word) {
			return true
		}
	}
	return false
}

// attributionStart finds the line above a quote that says who wrote it: it
// ends in a colon and has an address, a date or a verb. It may be folded.
func attributionStart(lines []string) int {
	end := len(lines)
	for end > 0 && strings.TrimSpace(lines[end-1]) == "" {
		end--
	}
	if end == 0 {
		return len(lines)
	}
	last := strings.TrimSpace(lines[end-1])
	if !strings.HasSuffix(last, ":") && !strings.HasSuffix(last, "：") || len(last) > 500 {
		return len(lines)
	}
	for n := 1; n <= attributionLines && end-n >= 0; n++ {
		if n > 1 && strings.TrimSpace(lines[end-n]) == "" {
			break
		}
		text := strings.TrimSpace(strings.Join(lines[end-n:end], " "))
		if len(text) > maxAttribution {
			break
		}
		if attribution.MatchString(text) {
			return end - n
		}
	}
	return len(lines)
}

// attribution begins as such lines do in many languages, or has a date or an
// address before the colon.
var attribution = regexp.MustCompile(`(?is)^(?:(?:on|am|le|el|il|op|em|no dia|dnia|dne|den|på|kl\.|a |в |у |w dniu|в понедельник|във)\b?.{5,400}[:：]|` +
	`.{0,300}(?:wrote|schrieb|a écrit|escribió|escreveu|ha scritto|schreef|skrev|kirjoitti|napisał\(?a?\)?|napsal\(?a?\)?|пишет|писал[аи]?|написал[аи]?\(?а?\)?|пише|написав|写道|寫道|のメッセージ|작성|كتب|כתב).{0,200}[:：]|` +
	`.{0,200}<[^<>@\s]+@[^<>@\s]+>.{0,100}[:：])$`)
