{{/* Name of the chart. */}}
{{- define "ferrule.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{/* What the names of objects begin with: at most 47 characters, so that 16 may follow. */}}
{{- define "ferrule.fullname" -}}
{{- $name := default .Chart.Name .Values.nameOverride }}
{{- $full := ternary .Release.Name (printf "%s-%s" .Release.Name $name) (contains $name .Release.Name) }}
{{- default $full .Values.fullnameOverride | trunc 47 | trimSuffix "-" }}
{{- end }}

{{/* Labels that don't change over the life of a release. Of (list root component). */}}
{{- define "ferrule.selectorLabels" -}}
{{- $root := index . 0 -}}
app.kubernetes.io/name: {{ include "ferrule.name" $root }}
app.kubernetes.io/instance: {{ $root.Release.Name }}
app.kubernetes.io/component: {{ index . 1 }}
{{- end }}

{{/* All labels. Of (list root component). */}}
{{- define "ferrule.labels" -}}
{{- $root := index . 0 -}}
helm.sh/chart: {{ printf "%s-%s" $root.Chart.Name $root.Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{ include "ferrule.selectorLabels" . }}
app.kubernetes.io/version: {{ $root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ $root.Release.Service }}
{{- with $root.Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* Reference of an image. Of (list root image). */}}
{{- define "ferrule.image" -}}
{{- $image := index . 1 -}}
{{- $repository := printf "%s/%s" $image.registry $image.repository | trimPrefix "/" -}}
{{- if $image.digest -}}
{{ printf "%s@%s" $repository $image.digest }}
{{- else -}}
{{ printf "%s:%s" $repository (default (index . 0).Chart.AppVersion $image.tag) }}
{{- end }}
{{- end }}

{{/* The operator's ServiceAccount. */}}
{{- define "ferrule.serviceAccountName" -}}
{{- default (ternary (include "ferrule.fullname" .) "default" .Values.serviceAccount.create) .Values.serviceAccount.name }}
{{- end }}

{{/* The namespaces that are watched, as a list; empty: all. */}}
{{- define "ferrule.watched" -}}
{{- if eq .Values.operator.watch.scope "Namespaces" }}
{{- default (list .Release.Namespace) .Values.operator.watch.namespaces | toJson }}
{{- else }}
{{- list | toJson }}
{{- end }}
{{- end }}

{{/* What every container of this chart may do: nothing. */}}
{{- define "ferrule.containerSecurityContext" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end }}

{{/* What every pod of this chart runs as. */}}
{{- define "ferrule.podSecurityContext" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
fsGroup: 65532
seccompProfile:
  type: RuntimeDefault
{{- end }}

{{/* Whether the cluster that is installed to has VpnGateways; where no cluster is asked, yes. */}}
{{- define "ferrule.hasDefinitions" -}}
{{- $asked := .Capabilities.APIVersions.Has "apiregistration.k8s.io/v1/APIService" }}
{{- if or (not $asked) (.Capabilities.APIVersions.Has "ferrule.dev/v1alpha1/VpnGateway") }}yes{{ end }}
{{- end }}

{{/* Names of the gateways of this release, as a list. Null stands for none. */}}
{{- define "ferrule.gateways" -}}
{{- $names := list }}
{{- range $name, $spec := .Values.gateways }}
{{- if not (kindIs "invalid" $spec) }}
{{- $names = append $names $name }}
{{- end }}
{{- end }}
{{- $names | toJson }}
{{- end }}

{{/* The gateways that helm test tests, as a list. */}}
{{- define "ferrule.tested" -}}
{{- ternary (default (include "ferrule.gateways" . | fromJsonArray) .Values.test.gateways) list .Values.test.enabled | toJson }}
{{- end }}

{{/* Name and key of the Secret with a gateway's pre-shared key. Of (list root gateway). */}}
{{- define "ferrule.psk" -}}
{{- $spec := index (default dict (index . 0).Values.gateways) (index . 1) | default dict }}
{{- $ref := dig "ipsec" "pskSecretRef" dict $spec }}
{{- dict "name" (default (printf "%s-psk" (index . 1)) $ref.name) "key" (default "psk" $ref.key) | toJson }}
{{- end }}
