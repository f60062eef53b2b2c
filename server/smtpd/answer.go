package smtpd

import (
	"errors"

	"github.com/emersion/go-smtp"

	"github.com/eidermail/eider/mail"
)

// answerTo is the one exhaustive switch from the domain's codes to SMTP replies
// (RFC 5321 4.2, RFC 3463). The chain behind the error is for the log.
func answerTo(err error) *smtp.SMTPError {
	var reason string
	var me *mail.Error
	if errors.As(err, &me) {
		reason = me.Reason
	}
	switch mail.CodeOf(err) {
	case mail.CodeNoUser:
		if reason == "relay" {
			return reply(550, 5, 7, 1, "Relaying denied")
		}
		return reply(550, 5, 1, 1, "No such user here")
	case mail.CodeDisabled:
		return reply(550, 5, 2, 1, "Mailbox disabled")
	case mail.CodeOverQuota:
		return reply(452, 4, 2, 2, "Mailbox full, try again later")
	case mail.CodeTooBig:
		if reason == "quota" {
			return errTooBig
		}
		return reply(552, 5, 3, 4, "Message too big")
	case mail.CodeInvalid:
		if reason == "loop" {
			return reply(554, 5, 4, 6, "Too many hops, the message is looping")
		}
		if me != nil && me.Field == "address" {
			return reply(553, 5, 1, 3, "Address syntax not accepted")
		}
		return reply(554, 5, 6, 0, "Message not accepted")
	case mail.CodeUnavailable:
		if reason == "forwarding" {
			return reply(451, 4, 3, 5, "Forwarding address not served at the moment")
		}
		return reply(451, 4, 3, 0, "Temporary failure, try again later")
	case mail.CodeLimited:
		return reply(450, 4, 2, 1, "Mailbox receives too much, try again later")
	case mail.CodeForbidden, mail.CodeAuth:
		return reply(550, 5, 7, 1, "Not allowed")
	case mail.CodeNoMailbox, mail.CodeNoMessage, mail.CodeNotFound, mail.CodeExists, mail.CodeConflict, mail.CodeInternal:
		// A state of ours that the sender cannot mend; waiting may.
		return reply(451, 4, 3, 0, "Local error, try again later")
	}
	return reply(451, 4, 3, 0, "Local error, try again later")
}
