# METADATA
# title: Modality
# description: One role has to cover every modality of an object.
package dicomweb.modality

# METADATA
# title: The object has a modality you may not see
# description: The object has a modality, or none, that no role of the subject covers together with its others.
# custom:
#   code: modality-not-granted
#   remedy: Ask your security team for the modality.
deny contains "modality-not-granted" if not _granted

_granted if {
	data.dicomweb.resource.not_judged
} else if {
	count(covering) > 0
}

# METADATA
# description: Roles that cover every modality of the object.
covering := [role |
	input.resource.modalities[0]
	some role in data.dicomweb.lib.subject.judged
	data.dicomweb.lib.reach.holds(role.bounds, "modalities", input.resource.modalities)
]
