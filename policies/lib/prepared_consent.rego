# METADATA
# title: Consents, prepared
# description: |
#   data.consents, in the shape of FHIR R4 Consent, and data.consent, as a decision looks them up. Evaluated once, when
#   policies are loaded: nothing here may look at input.
#
#   Only active consents count. One of which a member, a code or a date is not what is known here forbids everything: what
#   it was meant to say is not known. So does one that does not say whose it is, for all patients.
package dicomweb.prepared.consent

# METADATA
# description: By patient, what each of the consents that count says.
patients := {id: told |
	some id, consents in _by_patient
	told := [consent | some consent in consents]
}

# By patient and position in data.consents.
_by_patient[id][position] := told if {
	some position, consent in data.consents
	_counts(consent)
	id := _patient(consent)
	id != ""
	told := _told(consent)
}

# METADATA
# description: By patient, purposes that one of the consents or of their exceptions forbids at some time; "*" is all.
forbidding := {id: purposes |
	some id, consents in patients
	purposes := _forbidden(consents)
	purposes != {}
}

_forbidden(consents) := {purpose: true |
	some told in consents
	some rule in array.concat([told], object.get(told, "exceptions", []))
	rule.type != "permit"
	some purpose in rule.purposes
}

# METADATA
# description: Positions in data.consents of those that forbid everything because what they say is not known here.
malformed := [position |
	some consents in _by_patient
	some position, told in consents
	told.type == "malformed"
]

# METADATA
# description: Whether every consent that counts says whose it is.
attributed if {
	is_array(data.consents)
	count([1 |
		some consent in data.consents
		_patient(consent) == ""
		_counts(consent)
	]) == 0
}

# METADATA
# description: Purposes that are permitted where no consent speaks of them.
permitted := {code: true |
	some code, _ in data.purposes
	_by_default(code) == "permit"
}

# METADATA
# description: Whether nothing is forbidden but by a consent.
open if {
	attributed
	count(permitted) == count(data.purposes)
}

# METADATA
# description: Purposes that no consent forbids.
overriding := {code: true |
	some code in data.consent.overriding_purposes
	data.purposes[code]
}

# A kind of purpose that is not listed is denied with what it is a kind of.
_by_default(code) := told if {
	told := data.consent["default"][code]
} else := "deny" if {
	some broader, kinds in data.consent.narrower
	code in kinds
	data.consent["default"][broader] == "deny"
} else := data.consent["default"]["*"]

_ended := ["draft", "proposed", "rejected", "inactive", "entered-in-error"]

# Whatever is not known to have no force.
_counts(consent) := false if {
	consent.status in _ended
} else := true

_patient(consent) := trim_space(consent.patient.identifier.value) if {
	is_string(consent.patient.identifier.value)
} else := ""

# What these rules know of a consent. Other members of FHIR's would change what it means.
_told(consent) := told if {
	consent.status == "active"
	consent.resourceType == "Consent"
	object.remove(consent, _members) == {}
	object.remove(consent.patient, ["reference", "type", "identifier", "display"]) == {}
	object.remove(consent.patient.identifier, ["system", "value"]) == {}
	told := _provision(consent.provision)
} else := {"type": "malformed", "purposes": ["*"], "from": "0001-01-01", "until": "9999-12-31T23:59:59.999Z"}

_provision(provision) := told if {
	not provision.provision
	told := _rule(provision)
} else := told if {
	is_array(provision.provision)
	count(provision.provision) > 0
	every exception in provision.provision { _rule(exception) }
	exceptions := [_rule(exception) | some exception in provision.provision]
	told := object.union(_rule(object.remove(provision, ["provision"])), {"exceptions": exceptions})
}

_members := [
	"resourceType", "id", "meta", "language", "text", "identifier", "status", "scope", "category", "patient", "dateTime",
	"performer", "organization", "sourceAttachment", "sourceReference", "provision",
]

_rule(provision) := {
	"type": provision.type,
	"purposes": purposes,
	"from": from,
	"until": until,
} if {
	provision.type in ["permit", "deny"]
	object.remove(provision, ["type", "period", "purpose"]) == {}
	period := object.get(provision, "period", {})
	is_object(period)
	object.remove(period, ["start", "end"]) == {}
	purposes := _purposes(provision)
	from := _first(object.get(period, "start", "0001-01-01"))
	until := _last(object.get(period, "end", "9999-12-31"))

	# One that ends before it begins would never be in force, whatever it was meant to forbid.
	from <= until
}

# A purpose and those that are kinds of it. Without any, all.
_purposes(provision) := ["*"] if {
	members := object.keys(provision)
	not "purpose" in members
} else := sort(codes | kinds) if {
	codings := provision.purpose
	is_array(codings)
	count(codings) > 0
	every coding in codings {
		coding.system == "http://terminology.hl7.org/CodeSystem/v3-ActReason"
		object.remove(coding, ["system", "code", "display"]) == {}
		data.purposes[coding.code]
	}
	codes := {coding.code | some coding in codings}
	kinds := {kind |
		some code in codes
		some kind in data.consent.narrower[code]
	}
}

# The first and the last millisecond of what is written to the day or to the second.
_first(moment) := moment if {
	_is_day(moment)
} else := concat("", [substring(moment, 0, 19), ".000Z"]) if {
	_is_second(moment)
} else := moment if {
	_is_moment(moment)
}

_last(moment) := concat("", [moment, "T23:59:59.999Z"]) if {
	_is_day(moment)
} else := concat("", [substring(moment, 0, 19), ".999Z"]) if {
	_is_second(moment)
} else := moment if {
	_is_moment(moment)
}

# Not by an expression, which the embedded engine would compile for each of some ten thousand days.
_is_day(text) if {
	is_string(text)
	parts := split(text, "-")
	count(parts) == 3
	count(parts[0]) == 4
	trim(parts[0], "0123456789") == ""
	_months[parts[1]]
	_days[parts[2]]
}

_months := {concat("", [tens, ones]): true |
	some tens in ["0", "1"]
	some ones in ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"]
	concat("", [tens, ones]) > "00"
	concat("", [tens, ones]) <= "12"
}

_days := {concat("", [tens, ones]): true |
	some tens in ["0", "1", "2", "3"]
	some ones in ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"]
	concat("", [tens, ones]) > "00"
	concat("", [tens, ones]) <= "31"
}

_is_second(text) if {
	is_string(text)
	count(text) == 20
	endswith(text, "Z")
	_is_moment(concat("", [substring(text, 0, 19), ".000Z"]))
}

_is_moment(text) if {
	is_string(text)
	count(text) == 24
	_is_day(substring(text, 0, 10))
	regex.match(`^T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]\.[0-9]{3}Z$`, substring(text, 10, 14))
}
