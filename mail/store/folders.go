package store

import (
	"strings"

	"github.com/eidermail/eider/mail"
)

// folderNames are the names of Sent, Trash, Drafts and Junk in a language.
// A language that is not here gets the English ones.
var folderNames = map[string][4]string{
	"bg": {"Изпратени", "Кошче", "Чернови", "Спам"},
	"cs": {"Odeslaná pošta", "Koš", "Koncepty", "Nevyžádaná pošta"},
	"da": {"Sendt post", "Papirkurv", "Kladder", "Spam"},
	"de": {"Gesendet", "Papierkorb", "Entwürfe", "Spam"},
	"el": {"Απεσταλμένα", "Κάδος", "Πρόχειρα", "Ανεπιθύμητα"},
	"en": {"Sent Mail", "Trash", "Drafts", "Junk"},
	"es": {"Enviados", "Papelera", "Borradores", "Correo no deseado"},
	"et": {"Saadetud kirjad", "Prügikast", "Mustandid", "Rämpspost"},
	"fi": {"Lähetetyt", "Roskakori", "Luonnokset", "Roskaposti"},
	"fr": {"Messages envoyés", "Corbeille", "Brouillons", "Indésirables"},
	"hu": {"Elküldött levelek", "Kuka", "Piszkozatok", "Levélszemét"},
	"it": {"Posta inviata", "Cestino", "Bozze", "Posta indesiderata"},
	"ja": {"送信済みメール", "ゴミ箱", "下書き", "迷惑メール"},
	"ko": {"보낸편지함", "휴지통", "임시보관함", "스팸"},
	"lt": {"Išsiųsti laiškai", "Šiukšliadėžė", "Juodraščiai", "Brukalas"},
	"lv": {"Nosūtītie", "Miskaste", "Melnraksti", "Mēstules"},
	"nb": {"Sendt", "Papirkurv", "Utkast", "Søppelpost"},
	"nl": {"Verzonden", "Prullenbak", "Concepten", "Ongewenst"},
	"pl": {"Wysłane", "Kosz", "Wersje robocze", "Spam"},
	"pt": {"Enviados", "Lixo", "Rascunhos", "Spam"},
	"ro": {"Trimise", "Coș de gunoi", "Ciorne", "Spam"},
	"ru": {"Отправленные", "Корзина", "Черновики", "Спам"},
	"sk": {"Odoslané", "Kôš", "Koncepty", "Nevyžiadaná pošta"},
	"sv": {"Skickat", "Papperskorg", "Utkast", "Skräppost"},
	"tr": {"Gönderilmiş Postalar", "Çöp Kutusu", "Taslaklar", "İstenmeyen"},
	"uk": {"Надіслані", "Кошик", "Чернетки", "Спам"},
	"zh": {"已发送邮件", "垃圾箱", "草稿箱", "垃圾邮件"},
}

// restoredNames name the mailbox that restored messages go to.
var restoredNames = map[string]string{
	"bg": "Възстановени", "cs": "Obnovené", "da": "Gendannet", "de": "Wiederhergestellt", "el": "Ανακτημένα",
	"en": "Restored", "es": "Restaurados", "et": "Taastatud", "fi": "Palautetut", "fr": "Restaurés",
	"hu": "Visszaállítva", "it": "Ripristinati", "ja": "復元済み", "ko": "복원됨", "lt": "Atkurti",
	"lv": "Atjaunotie", "nb": "Gjenopprettet", "nl": "Hersteld", "pl": "Przywrócone", "pt": "Restaurados",
	"ro": "Restaurate", "ru": "Восстановленные", "sk": "Obnovené", "sv": "Återställda", "tr": "Geri Yüklenen",
	"uk": "Відновлені", "zh": "已恢复",
}

func restoredName(language string) string {
	return or(restoredNames[languageOf(language)], restoredNames["en"])
}

// languageOf is the part of a language's name that chooses words.
func languageOf(language string) string {
	lang, _, _ := strings.Cut(strings.ToLower(strings.ReplaceAll(language, "-", "_")), "_")
	return lang
}

var folderUses = [4]mail.SpecialUse{mail.UseSent, mail.UseTrash, mail.UseDrafts, mail.UseJunk}

// folderName chooses the path of a special mailbox: given by the caller, or by
// the part of language before _ or -.
func folderName(language string, use mail.SpecialUse, given map[mail.SpecialUse]string) string {
	if name := given[use]; name != "" {
		return name
	}
	names, ok := folderNames[languageOf(language)]
	if !ok {
		names = folderNames["en"]
	}
	for i, u := range folderUses {
		if u == use {
			return names[i]
		}
	}
	// Archive is not among WildDuck's defaults; it is made when first used.
	return strings.TrimPrefix(string(use), `\`)
}
