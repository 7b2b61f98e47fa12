# METADATA
# title: Subject
# description: |
#   Who asks, what for and to do what, whatever it is done to. One role has to permit all of it; where none does, these
#   rules say what was missing.
package dicomweb.subject

# METADATA
# title: Subject unknown
# description: The certificate's name is not among the subjects of this site, or has no role.
# custom:
#   code: subject-unknown
deny contains "subject-unknown" if {
	not _suited
	not _known
}

# METADATA
# title: Action not permitted
# description: |
#   No role of the subject permits the action, or the authority that issued its certificate may not ask for it.
# custom:
#   code: action-not-permitted
deny contains "action-not-permitted" if {
	not _suited
	not _acting
}

# Input of another version of the contract is not what these policies were written for.
deny contains "action-not-permitted" if not input.version == 1

# METADATA
# title: Purpose not permitted
# description: |
#   The purpose of use, a code of HL7 v3 PurposeOfUse, is not one that this site knows, or no role that permits the
#   action permits it for that purpose.
# custom:
#   code: purpose-not-permitted
deny contains "purpose-not-permitted" if {
	not _suited
	not _purposeful
}

# Helpers, and not calls after `not`: OPA evaluates what a call is given outside of the `not`, so that something undefined
# would undo the denial there and not in the embedded engine.
_suited if count(data.dicomweb.lib.subject.suited) > 0

_known if count(data.dicomweb.lib.subject.held) > 0

_acting if count(data.dicomweb.lib.subject.acting) > 0

# Where no role permits the action, it is asked whether one would have permitted the purpose.
_purposeful if {
	count(data.dicomweb.lib.subject.acting) == 0
	count(data.dicomweb.lib.subject.purposeful) > 0
}
