# METADATA
# title: Subject
# description: |
#   Who asks, what for and to do what, whatever it is done to. One role has to permit all of it; where none does, these
#   rules say what was missing. A device that tells of itself needs no role: it has to be one that this site knows.
package dicomweb.subject

# METADATA
# description: Whether the device may tell of its own state, whoever uses it and whatever that state is.
reports if {
	_known_device
	_may_report
}

# METADATA
# title: Policy does not know this user or device
# description: |
#   Neither the user nor, where no user is named, the certificate's name is among the subjects of this site; or it has no
#   role. Of a device that tells of itself: neither its name nor its authority is one that this site knows.
# custom:
#   code: subject-unknown
#   remedy: Ask your security team to enter the user or the device.
deny contains "subject-unknown" if {
	not _reporting
	not _permitted
	not _known
}

deny contains "subject-unknown" if {
	_reporting
	not _known_device
}

# METADATA
# title: Your role does not include this action
# description: |
#   No role of the subject permits the action, or the authority that issued its certificate may not ask for it.
# custom:
#   code: action-not-permitted
#   remedy: Ask your security team for the role.
deny contains "action-not-permitted" if {
	not _reporting
	not _permitted
	not _acting
}

deny contains "action-not-permitted" if {
	_reporting
	not _may_report
}

# Input of another version of the contract is not what these policies were written for.
deny contains "action-not-permitted" if not input.version == 1

# METADATA
# title: This purpose of use is not yours
# description: |
#   The purpose of use, a code of HL7 v3 PurposeOfUse, is not one that this site knows, or no role that permits the
#   action permits it for that purpose.
# custom:
#   code: purpose-not-permitted
#   remedy: State a purpose that your role has.
deny contains "purpose-not-permitted" if {
	not _reporting
	not _permitted
	not _purposeful
}

# Helpers, and not calls after `not`: OPA evaluates what a call is given outside of the `not`, so that something undefined
# would undo the denial there and not in the embedded engine.
_reporting if input.request.action == "report_posture"

_may_report if "report_posture" in input.subject.certificate.authority_actions

_known_device if data.dicomweb.prepared.subjects[input.subject.certificate.name]

_known_device if input.subject.certificate.authority in data.limits.posture.reporting_authorities

# Whether one of them counts at this hour and from here is said by rules of its own.
_permitted if count(data.dicomweb.lib.subject.permitted) > 0

_known if count(data.dicomweb.lib.subject.held) > 0

_acting if count(data.dicomweb.lib.subject.acting) > 0

# Where no role permits the action, it is asked whether one would have permitted the purpose.
_purposeful if {
	count(data.dicomweb.lib.subject.acting) == 0
	count(data.dicomweb.lib.subject.purposeful) > 0
}
