# METADATA
# title: Consent
# description: |
#   What patients permit and forbid (data.consents), each for all purposes of use or for some, within a period. Every
#   consent of a patient that speaks of a purpose has to permit it; where none does, data.consent["default"] says. What is
#   done for a purpose of data.consent.overriding_purposes no consent forbids: that it was done is recorded.
package dicomweb.consent

# METADATA
# description: |
#   Whether an object's patient permits what is done for these purposes. Of an object that names no patient no consent can
#   be known: the default says.
permits(purposes, resource) if {
	# The outcome of what follows where no consent of the patient forbids anything, at less cost.
	data.dicomweb.prepared.consent.open
	is_string(resource.patient_id)
	id := trim_space(resource.patient_id)
	not data.dicomweb.prepared.consent.forbidding[id]
} else if {
	# The same where none forbids this one purpose.
	data.dicomweb.prepared.consent.open
	count(purposes) == 1
	purpose := purposes[0]
	is_string(resource.patient_id)
	forbidden := data.dicomweb.prepared.consent.forbidding[trim_space(resource.patient_id)]
	not forbidden["*"]
	not forbidden[purpose]
} else if {
	data.dicomweb.prepared.consent.attributed
	is_string(input.time)
	count(purposes) > 0
	consents := data.dicomweb.consent.known(resource.patient_id)
	every purpose in purposes { data.dicomweb.consent.permitted(purpose, consents) }
} else if {
	count(purposes) > 0
	every purpose in purposes { data.dicomweb.prepared.consent.overriding[purpose] }
	data.dicomweb.consent.known(resource.patient_id)
}

# METADATA
# description: |
#   Consents of a patient that count, none where no patient is named. Spaces around a PatientID say nothing (PS3.5 6.2).
known(patient_id) := consents if {
	is_string(patient_id)
	id := trim_space(patient_id)
	consents := data.dicomweb.prepared.consent.patients[id]
} else := {} if {
	is_string(patient_id)
} else := {} if {
	patient_id == null
}

# METADATA
# description: Whether a purpose is permitted by consents of one patient, or by default where none of them speaks of it.
permitted(purpose, consents) if {
	data.dicomweb.prepared.consent.overriding[purpose]
} else if {
	outcomes := {outcome |
		some consent in consents
		data.dicomweb.consent.current(consent)
		outcome := data.dicomweb.consent.outcome(purpose, consent)
	}
	data.dicomweb.consent.agreed(purpose, outcomes)
}

# METADATA
# description: Whether what consents say of a purpose permits it.
agreed(purpose, outcomes) if {
	outcomes == {"permit"}
} else if {
	outcomes == set()
	data.dicomweb.prepared.consent.permitted[purpose]
}

# METADATA
# description: |
#   What a consent says of a purpose now; undefined where it does not speak of it. Its exceptions count before it: one that
#   forbids always, one that permits where the consent itself speaks of the purpose.
outcome(purpose, consent) := "deny" if {
	some exception in consent.exceptions
	exception.type == "deny"
	data.dicomweb.consent.applies(purpose, exception)
} else := "permit" if {
	data.dicomweb.consent.applies(purpose, consent)
	some exception in consent.exceptions
	exception.type == "permit"
	data.dicomweb.consent.applies(purpose, exception)
} else := consent.type if {
	data.dicomweb.consent.applies(purpose, consent)
}

# METADATA
# description: Whether a provision speaks of a purpose now.
applies(purpose, provision) if {
	data.dicomweb.consent.current(provision)
	some named in provision.purposes
	named in ["*", purpose]
}

# METADATA
# description: Whether a provision is in force now.
current(provision) if {
	provision.from <= input.time
	input.time <= provision.until
}

# METADATA
# title: The patient has not permitted this
# description: |
#   A consent of the object's patient forbids the purpose of use, or none permits it where one is needed, or a consent
#   cannot be read.
# custom:
#   code: consent-withheld
#   remedy: Ask who keeps the patient's consents; in an emergency state that purpose of use.
deny contains "consent-withheld" if {
	not _not_judged
	not _permitted
}

_not_judged if data.dicomweb.resource.not_judged

# Where no role counts, the request is denied for that and not for this too.
_not_judged if {
	input.request.action
	count(data.dicomweb.lib.subject.suited) == 0
}

_permitted if permits(data.dicomweb.lib.subject.granted.purposes, input.resource)
