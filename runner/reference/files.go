package reference

import (
	"errors"
	"fmt"
	"path"

	v1 "k8s.io/api/core/v1"
)

// File is one file of a volume that Solopod fills.
type File struct {
	Data []byte
	Mode int32 // permission bits
	// User owns it; nil means root.
	User *int64
}

// Fills says whether Solopod fills the volume with files: configMap, secret, downwardAPI and projected.
func Fills(v *v1.Volume) bool {
	return v.ConfigMap != nil || v.Secret != nil || v.DownwardAPI != nil || v.Projected != nil
}

// Files computes the files of a volume that Solopod fills, by their path in it.
func (in *Inputs) Files(v *v1.Volume) (map[string]File, error) {
	out := fileSet{}
	switch {
	case v.ConfigMap != nil:
		s := v.ConfigMap
		values, err := in.configMap(s.Name)
		return out, out.keys("ConfigMap "+s.Name, values, err, s.Items, *s.DefaultMode, s.DefaultUser, s.Optional)
	case v.Secret != nil:
		s := v.Secret
		values, err := in.secret(s.SecretName)
		return out, out.keys("Secret "+s.SecretName, values, err, s.Items, *s.DefaultMode, s.DefaultUser, s.Optional)
	case v.DownwardAPI != nil:
		return out, out.downward(in, v.DownwardAPI.Items, *v.DownwardAPI.DefaultMode, v.DownwardAPI.DefaultUser)
	case v.Projected != nil:
		return out, out.project(in, v.Projected)
	}
	return nil, nil
}

type fileSet map[string]File

func (f fileSet) project(in *Inputs, p *v1.ProjectedVolumeSource) error {
	for i, s := range p.Sources {
		var err error
		switch {
		case s.ConfigMap != nil:
			values, missing := in.configMap(s.ConfigMap.Name)
			err = f.keys("ConfigMap "+s.ConfigMap.Name, values, missing, s.ConfigMap.Items, *p.DefaultMode, p.DefaultUser, s.ConfigMap.Optional)
		case s.Secret != nil:
			values, missing := in.secret(s.Secret.Name)
			err = f.keys("Secret "+s.Secret.Name, values, missing, s.Secret.Items, *p.DefaultMode, p.DefaultUser, s.Secret.Optional)
		case s.DownwardAPI != nil:
			err = f.downward(in, s.DownwardAPI.Items, *p.DefaultMode, p.DefaultUser)
		}
		if err != nil {
			return fmt.Errorf("sources[%d]: %w", i, err)
		}
	}
	return nil
}

// keys takes all keys of an object, or those that items name.
func (f fileSet) keys(object string, values map[string][]byte, err error, items []v1.KeyToPath, mode int32, user *int64, optional *bool) error {
	lenient := optional != nil && *optional
	if errors.Is(err, ErrMissing) && lenient {
		return nil
	}
	if err != nil {
		return err
	}
	if len(items) == 0 {
		for key, value := range values {
			f[key] = File{value, mode, user}
		}
		return nil
	}
	for _, item := range items {
		value, ok := values[item.Key]
		if !ok && lenient {
			continue
		}
		if !ok {
			return fmt.Errorf("%s has no key %q: %w", object, item.Key, ErrMissing)
		}
		f.put(item.Path, value, mode, item.Mode, user, item.User)
	}
	return nil
}

func (f fileSet) downward(in *Inputs, items []v1.DownwardAPIVolumeFile, mode int32, user *int64) error {
	for _, item := range items {
		var value string
		var err error
		switch {
		case item.FieldRef != nil:
			value, err = in.Field(item.FieldRef.FieldPath)
		case item.ResourceFieldRef != nil:
			value, err = in.Resource(item.ResourceFieldRef, "")
		}
		if err != nil {
			return fmt.Errorf("file %q: %w", item.Path, err)
		}
		f.put(item.Path, []byte(value), mode, item.Mode, user, item.User)
	}
	return nil
}

func (f fileSet) put(name string, data []byte, mode int32, own *int32, user, ownUser *int64) {
	if own != nil {
		mode = *own
	}
	if ownUser != nil {
		user = ownUser
	}
	f[path.Clean(name)] = File{data, mode, user}
}
